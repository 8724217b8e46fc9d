/** How rows that a dispatch brought get to experts, and what experts made of them back. Shape suffixes: N rows received, M rows of all experts, H hidden. */
import type { ReceivedRows } from '../../../base/received_rows.js';
import { rowOfChoice, type ExpertGroups } from '../../base/expert_groups.js';
import type { Tensor2D } from '../../base/tensor.js';

/** The (row, choice) pairs of each expert in turn, as indices into recvTopkIdx: M in all. */
export type ChoiceGroups = ExpertGroups<unknown>;

/** H of the rows, and K of the choices that each row has. */
export interface RowShape {
  readonly hidden: number;
  readonly numTopk: number;
}

/** How rows get from a dispatch to the experts and back: in the program's memory, or in the device's. */
export interface RowExchange {
  /** Each group's rows; inside a tidy. */
  spread(groups: ChoiceGroups, recv: ReceivedRows, shape: RowShape): Tensor2D[];
  /** What `combine` takes of the experts' rows [M,H], which lie group by group; disposes them. */
  collect(y_MH: Tensor2D, groups: ChoiceGroups, recv: ReceivedRows, shape: RowShape): Promise<Float32Array>;
}

/** One row per local choice, in the order of recvTopkIdx. */
export function inChoiceOrder(y: Float32Array, groups: ChoiceGroups, numChoices: number, hidden: number): Float32Array {
  const out = new Float32Array(y.length);
  let next = 0;
  for (const row of rowOfChoice(groups, numChoices)) {
    if (row < 0) continue;
    out.set(y.subarray(row * hidden, (row + 1) * hidden), next);
    next += hidden;
  }
  return out;
}
