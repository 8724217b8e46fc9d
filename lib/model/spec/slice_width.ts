/** How experts are divided along their intermediate width. Pure. Why: docs/decisions/placement.md#a-slice-is-an-expert */
import { SCALE_GROUP } from '../../../compute/base/weight_matrix.js';

/**
 * How wide slices are: whole groups of weights that share a scale, or, below one such group, a power of two, so that no slice divides a group. The last slice may
 * have less to do: zeros fill it up.
 */
export function sliceWidth(intermediateSize: number, numSlices: number): number {
  const least = Math.ceil(intermediateSize / numSlices);
  return least >= SCALE_GROUP
    ? SCALE_GROUP * Math.ceil(least / SCALE_GROUP)
    : 2 ** Math.max(1, Math.ceil(Math.log2(least)));
}

/** Whether every slice has something to compute. */
export const isDivisible = (intermediateSize: number, numSlices: number): boolean =>
  numSlices === 1 || (numSlices - 1) * sliceWidth(intermediateSize, numSlices) < intermediateSize;
