import { paddedRows } from '../../../compute/wasm/memory/resident_dtype.js';
import type { MlaSpec } from './spec.js';

/** What the shape of kv_b_proj depends on. */
export type HeadSizes = Pick<MlaSpec, 'numHeads' | 'qkNopeHeadDim' | 'vHeadDim'>;

/** Rows that kv_b_proj takes of a kernel memory: each head's rows for keys and its rows for values begin with a panel. */
export const kvUpRows = ({ numHeads, qkNopeHeadDim, vHeadDim }: HeadSizes): number =>
  numHeads * (paddedRows(qkNopeHeadDim) + paddedRows(vHeadDim));
