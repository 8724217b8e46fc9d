/** SwiGLU networks in the checkpoint's layout, slow and obvious, in float64. */
import { linearRef } from './linear_ref.js';

export interface SwigluRef {
  readonly hidden: number;
  readonly intermediate: number;
  /** [intermediate · hidden] */
  readonly gate: ArrayLike<number>;
  /** [intermediate · hidden] */
  readonly up: ArrayLike<number>;
  /** [hidden · intermediate] */
  readonly down: ArrayLike<number>;
}

/** down(silu(gate(x)) · up(x)) of rows x. */
export function swigluRef(x: ArrayLike<number>, { hidden, intermediate, gate, up, down }: SwigluRef): number[] {
  const upper = linearRef(x, up, hidden);
  const activated = linearRef(x, gate, hidden).map((value, i) => (value / (1 + Math.exp(-value))) * upper[i]!);
  return linearRef(activated, down, intermediate);
}

/** What a shard returns: per row the weighted sum over its choices, or each choice's row in order; `slots[n · numTopk + k]`: index of an expert, −1 = none. */
export function expertsRef(
  x: Float32Array,
  slots: ArrayLike<number>,
  weights: ArrayLike<number>,
  experts: readonly SwigluRef[],
  hidden: number,
): { readonly perRow: number[]; readonly perChoice: number[] } {
  const numRows = x.length / hidden;
  const numTopk = slots.length / numRows;
  const perRow = new Array<number>(x.length).fill(0);
  const perChoice: number[] = [];
  for (let choice = 0; choice < slots.length; choice++) {
    if (slots[choice]! < 0) continue;
    const row = Math.floor(choice / numTopk);
    const y = swigluRef(x.subarray(row * hidden, (row + 1) * hidden), experts[slots[choice]!]!);
    perChoice.push(...y);
    y.forEach((value, h) => (perRow[row * hidden + h]! += weights[choice]! * value));
  }
  return { perRow, perChoice };
}
