/** Running experts without a dispatch around them. */
import { contiguous, floatRows } from '../../../base/float_rows.js';
import { RowsInPlace, type Reduce } from '../../../base/received_rows.js';
import type { ExpertOutput } from '../../../compute/base/expert_compute.js';
import { GroupTables, type ExpertGroups } from '../../../compute/base/expert_groups.js';

/** Experts by slot; −1 = elsewhere. */
export const groupsOf = <E>(slots: readonly number[], experts: readonly E[]): ExpertGroups<E> =>
  new GroupTables<E>().fill(Int32Array.from(slots), (slot) => experts[slot]!);

/** Rows of an array, as if a dispatch had brought them. */
export const arrayReceived = (
  x: Float32Array,
  hidden: number,
  slots: Int32Array,
  weights: Float32Array,
  reduce: Reduce,
): RowsInPlace => new RowsInPlace(floatRows(x, hidden), slots, weights, reduce);

/** A copy: the next call may write over what this one gave. */
export async function valuesOf(output: ExpertOutput | Promise<ExpertOutput>): Promise<Float32Array> {
  const out = await output;
  return (out instanceof Float32Array ? out : contiguous(out)).slice();
}
