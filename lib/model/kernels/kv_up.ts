/** kv_b_proj of latent attention in a kernel memory: each head's rows for keys and its rows for values begin with a panel of their own. Pure. */
import { paddedRows } from '../../../compute/wasm/memory/resident_dtype.js';
import type { RowRange } from '../../../compute/wasm/memory/weight_loader.js';
import type { HeadSizes } from '../spec/kv_up_rows.js';

/** Where the rows of a checkpoint, [numHeads · (qkNopeHeadDim + vHeadDim)], go among those of the resident matrix. */
export function kvUpRanges({ numHeads, qkNopeHeadDim, vHeadDim }: HeadSizes): RowRange[] {
  const ranges: RowRange[] = [];
  let [from, to] = [0, 0];
  for (let part = 0; part < 2 * numHeads; part++) {
    const numRows = part % 2 === 0 ? qkNopeHeadDim : vHeadDim;
    ranges.push({ from, to, numRows });
    from += numRows;
    to += paddedRows(numRows);
  }
  return ranges;
}
