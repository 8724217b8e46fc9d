/** How evenly the tokens of MoE layers fall on ranks. Pure. Shape suffixes: L MoE layers, E logical experts. */
import type { Placement } from './placement.js';
import { splitLoad, sumByRank, type ReplicaSplit } from './replica_split.js';

/** Tokens per rank of one layer, an expert's load shared out over its replicas, by default evenly. */
export function rankLoads(
  load_E: ArrayLike<number>,
  placement: Placement,
  moeLayer: number,
  split: ReplicaSplit = 'even',
): Float64Array {
  return sumByRank(splitLoad(load_E, placement, moeLayer, split), placement);
}

/** mean / max of the loads: 1 = perfect (vLLM's and SGLang's balancedness of one layer); 1 without any load. */
export function balancedness(loads: ArrayLike<number>): number {
  const highest = maxOf(loads);
  return highest === 0 ? 1 : meanOf(loads) / highest;
}

/** Σ over layers of mean rank load / Σ over layers of max rank load: 1 = perfect; 1 without any load. */
export function balancednessOf(
  load_LE: readonly ArrayLike<number>[],
  placement: Placement,
  split: ReplicaSplit = 'even',
): number {
  let [means, highests] = [0, 0];
  for (const [moeLayer, load_E] of load_LE.entries()) {
    const loads = rankLoads(load_E, placement, moeLayer, split);
    means += meanOf(loads);
    highests += maxOf(loads);
  }
  return highests === 0 ? 1 : means / highests;
}

const meanOf = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0) / values.length;

const maxOf = (values: ArrayLike<number>): number => Math.max(...Array.from(values));
