/** Gated networks in the checkpoint's layout, slow and obvious, in float64. */
import { SWIGLU, type ActivationSpec } from '../../compute/base/activation_spec.js';
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
  /** [2 · intermediate + hidden]: gate's, up's, down's; none if left out. */
  readonly biases?: ArrayLike<number> | undefined;
  /** SwiGLU if left out. */
  readonly activation?: ActivationSpec | undefined;
}

/** down(activation(gate(x), up(x))) of rows x. */
export function swigluRef(x: ArrayLike<number>, network: SwigluRef): number[] {
  const { hidden, intermediate, gate, up, down, biases } = network;
  const biased = (values: readonly number[], first: number, width: number): number[] =>
    values.map((value, i) => value + (biases?.[first + (i % width)] ?? 0));
  const gates = biased(linearRef(x, gate, hidden), 0, intermediate);
  const ups = biased(linearRef(x, up, hidden), intermediate, intermediate);
  const activated = gates.map((value, i) => activationRef(value, ups[i]!, network.activation));
  return biased(linearRef(activated, down, intermediate), 2 * intermediate, hidden);
}

/** Of one gate and one up. */
export function activationRef(gate: number, up: number, activation: ActivationSpec = SWIGLU): number {
  if (activation.kind === 'swiglu') return (gate / (1 + Math.exp(-gate))) * up;
  const { limit, alpha } = activation;
  const g = gate > limit ? limit : gate;
  const u = up > limit ? limit : up < -limit ? -limit : up;
  return (g / (1 + Math.exp(-alpha * g))) * (u + 1);
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
