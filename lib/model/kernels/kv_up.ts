/** kv_b_proj of latent attention in a kernel memory: each head's rows for keys and its rows for values begin with a panel of their own. */
import type { WeightMatrix } from '../../../compute/base/weight_matrix.js';
import { KernelMatrix } from '../../../compute/wasm/memory/kernel_matrix.js';
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { paddedRows, type ResidentDtype } from '../../../compute/wasm/memory/resident_dtype.js';
import { kvUpRows, type HeadSizes } from '../spec/kv_up_rows.js';

/** `weights`: [numHeads · (qkNopeHeadDim + vHeadDim), columns], as checkpoints have them. @throws ExpertError as {@link KernelMatrix.from} */
export function loadKvUp(
  memory: KernelMemory,
  sizes: HeadSizes,
  weights: WeightMatrix,
  dtype: ResidentDtype,
): KernelMatrix {
  const { numHeads, qkNopeHeadDim, vHeadDim } = sizes;
  const matrix = new KernelMatrix(memory, kvUpRows(sizes), weights.columns, dtype);
  const rowBytes = weights.bytes.length / weights.rows;
  let [from, to] = [0, 0];
  try {
    for (let part = 0; part < 2 * numHeads; part++) {
      const rows = part % 2 === 0 ? qkNopeHeadDim : vHeadDim;
      const bytes = weights.bytes.subarray(from * rowBytes, (from + rows) * rowBytes);
      matrix.set({ ...weights, rows, bytes }, to);
      from += rows;
      to += paddedRows(rows);
    }
  } catch (error) {
    matrix.dispose();
    throw error;
  }
  return matrix;
}
