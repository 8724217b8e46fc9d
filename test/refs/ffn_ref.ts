/** Gated networks and the work of a shard, slow and obvious, in float64. */
import type { ReceivedRows } from '../../base/received_rows.js';
import type { ActivationSpec } from '../../compute/base/activation_spec.js';
import type { FfnWeights } from '../../compute/base/ffn_weights.js';
import type { WeightMatrix } from '../../compute/base/weight_matrix.js';
import { activationRef } from './swiglu_ref.js';
import { weightRef } from './weight_ref.js';

/** down(activation(gate(x), up(x))) of one row. */
export function ffnRef(x: ArrayLike<number>, weights: FfnWeights, activation?: ActivationSpec): number[] {
  const { gate, up, down, biases } = weights;
  const biased = (values: readonly number[], first: number): number[] =>
    values.map((value, i) => value + (biases?.[first + i] ?? 0));
  const gates = biased(linearRef(x, gate), 0);
  const ups = biased(linearRef(x, up), gate.rows);
  const activated = gates.map((value, i) => activationRef(value, ups[i]!, activation));
  return biased(linearRef(activated, down), 2 * gate.rows);
}

/** One row times the transpose of a matrix. */
export function linearRef(x: ArrayLike<number>, weights: WeightMatrix): number[] {
  return Array.from({ length: weights.rows }, (_, row) => {
    let sum = 0;
    for (let column = 0; column < weights.columns; column++) sum += x[column]! * weightRef(weights, row, column);
    return sum;
  });
}

/** What a shard returns for the rows of a dispatch; `experts` by slot. */
export function shardRef(
  recv: ReceivedRows,
  experts: readonly FfnWeights[],
  hidden: number,
  numTopk: number,
  activation?: ActivationSpec,
): number[] {
  const rows = Array.from({ length: recv.numRecvTokens }, (_, n) => recv.recvX.slice(n * hidden, (n + 1) * hidden));
  return rows.flatMap((row, n) => {
    const sum = new Array<number>(hidden).fill(0);
    const each: number[] = [];
    for (let k = 0; k < numTopk; k++) {
      const slot = recv.recvTopkIdx[n * numTopk + k]!;
      if (slot < 0) continue;
      const y = ffnRef(row, experts[slot]!, activation);
      each.push(...y);
      y.forEach((value, h) => (sum[h]! += (recv.recvTopkWeights[n * numTopk + k] ?? 0) * value));
    }
    return recv.reduce === 'rank' ? sum : each;
  });
}
