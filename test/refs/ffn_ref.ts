/** SwiGLU and the work of a shard, slow and obvious, in float64. */
import type { ReceivedRows } from '../../experts/shard.js';
import type { FfnWeights } from '../../experts/ffn.js';

/** down(silu(gate(x)) · up(x)) of one row. */
export function ffnRef(x: ArrayLike<number>, { hidden, intermediate, gateUp, down }: FfnWeights): number[] {
  const expanded = (column: number): number => {
    let sum = 0;
    for (let h = 0; h < hidden; h++) sum += x[h]! * gateUp[h * 2 * intermediate + column]!;
    return sum;
  };
  const activated = Array.from({ length: intermediate }, (_, i) => {
    const gate = expanded(i);
    return (gate / (1 + Math.exp(-gate))) * expanded(intermediate + i);
  });
  return Array.from({ length: hidden }, (_, h) =>
    activated.reduce((sum, value, i) => sum + value * down[i * hidden + h]!, 0),
  );
}

/** What a shard returns for the rows of a dispatch; `experts` by slot. */
export function shardRef(
  recv: ReceivedRows,
  experts: readonly FfnWeights[],
  hidden: number,
  numTopk: number,
): number[] {
  const rows = Array.from({ length: recv.numRecvTokens }, (_, n) => recv.recvX.slice(n * hidden, (n + 1) * hidden));
  return rows.flatMap((row, n) => {
    const sum = new Array<number>(hidden).fill(0);
    const each: number[] = [];
    for (let k = 0; k < numTopk; k++) {
      const slot = recv.recvTopkIdx[n * numTopk + k]!;
      if (slot < 0) continue;
      const y = ffnRef(row, experts[slot]!);
      each.push(...y);
      y.forEach((value, h) => (sum[h]! += (recv.recvTopkWeights[n * numTopk + k] ?? 0) * value));
    }
    return recv.reduce === 'rank' ? sum : each;
  });
}
