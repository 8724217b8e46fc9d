/** How rows that a dispatch brought get to experts, and what experts made of them back. Shape suffixes: N rows received, M rows of all experts, H hidden. */
import type { ReceivedRows } from '../../../base/received_rows.js';
import type { Tensor2D } from '../../base/tensor.js';

/** The (row, choice) pairs of each expert in turn, as indices into recvTopkIdx: M in all. */
export type ChoiceGroups = readonly { readonly choices: readonly number[] }[];

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

/** Where each choice's row lies in the experts' output: choice → row of y; −1 for those of other ranks. */
export function rowOfChoice(groups: ChoiceGroups, numChoices: number): Int32Array {
  const rows = new Int32Array(numChoices).fill(-1);
  let next = 0;
  for (const { choices } of groups) for (const choice of choices) rows[choice] = next++;
  return rows;
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
