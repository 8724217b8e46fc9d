/** Moving between token-major and head-major rows. Shape suffixes: T tokens, D channels of one head. */
import { reshape, transpose, type Tensor, type Tensor2D } from '../../experts/tf.js';

/** Rows (token, head) → rows (head, token): [T·heads, D]. Free where there is one of either. */
export function toHeadMajor(x_TD: Tensor2D, numTokens: number, numHeads: number): Tensor2D {
  return swapRows(x_TD, numTokens, numHeads);
}

/** Rows (head, token) → rows (token, head): [heads·T, D]. Free where there is one of either. */
export function toTokenMajor(x_TD: Tensor2D, numTokens: number, numHeads: number): Tensor2D {
  return swapRows(x_TD, numHeads, numTokens);
}

function swapRows(x: Tensor2D, outer: number, inner: number): Tensor2D {
  const width = x.size / (outer * inner);
  const flat: [number, number] = [outer * inner, width];
  if (outer === 1 || inner === 1) return reshape(x, flat);
  const split: Tensor = reshape(x, [outer, inner, width]);
  return reshape(transpose(split, [1, 0, 2]), flat);
}
