/** A head's rows of kv_b_proj: first `nopeDim` that make keys of latents, then `valueDim` that make values. */
import { BF16, F32, INT8, Matrix, ROW_ALIGN, here } from '../memory/memory.as';
import { MlaLayer } from './mla_fields.as';

const rowsAt: usize = memory.data(offsetof<Matrix>(), 16);

/** Descriptor of the key rows, valid until the next call. */
export function keyRows(l: MlaLayer, head: i32): usize {
  return rowsOf(changetype<Matrix>(l.kvUp), head * (l.nopeDim + l.valueDim), l.nopeDim);
}

export function valueRows(l: MlaLayer, head: i32): usize {
  return rowsOf(changetype<Matrix>(l.kvUp), head * (l.nopeDim + l.valueDim) + l.nopeDim, l.valueDim);
}

function rowsOf(w: Matrix, first: i32, count: i32): usize {
  const rows = changetype<Matrix>(here(rowsAt));
  const codeBytes: usize = w.dtype == F32 ? 4 : w.dtype == BF16 ? 2 : 1;
  const scaleBytes: usize = w.dtype == INT8 ? (<usize>(w.stride / ROW_ALIGN)) << 2 : 0;
  rows.data = w.data + <usize>first * <usize>w.stride * codeBytes;
  rows.scales = w.scales + <usize>first * scaleBytes;
  rows.dtype = w.dtype;
  rows.rows = count;
  rows.stride = w.stride;
  return here(rowsAt);
}
