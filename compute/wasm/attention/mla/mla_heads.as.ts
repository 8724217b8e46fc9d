/** A head's rows of kv_b_proj: first `nopeDim` that make keys of latents, then `valueDim` that make values. Either begin with a panel of their own. */
import { Matrix, PANEL, here, panelBytes } from '../../memory/memory.as';
import { MlaLayer } from './mla_fields.as';

const rowsAt: usize = memory.data(offsetof<Matrix>(), 16);

/** Descriptor of the key rows, valid until the next call. */
export function keyRows(l: MlaLayer, head: i32): usize {
  return rowsOf(changetype<Matrix>(l.kvUp), head * (panels(l.nopeDim) + panels(l.valueDim)), l.nopeDim);
}

export function valueRows(l: MlaLayer, head: i32): usize {
  const first = head * (panels(l.nopeDim) + panels(l.valueDim)) + panels(l.nopeDim);
  return rowsOf(changetype<Matrix>(l.kvUp), first, l.valueDim);
}

function panels(numRows: i32): i32 {
  return (numRows + PANEL - 1) / PANEL;
}

function rowsOf(w: Matrix, firstPanel: i32, count: i32): usize {
  const rows = changetype<Matrix>(here(rowsAt));
  rows.data = w.data + <usize>firstPanel * panelBytes(w);
  rows.dtype = w.dtype;
  rows.rows = count;
  rows.stride = w.stride;
  return here(rowsAt);
}
