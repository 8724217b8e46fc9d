/** How evenly the tokens of the MoE layers fall on ranks and experts. Pure. */
import type { Placement } from '../../experts/placement.js';

/** Tokens per rank of one layer, an expert's load shared evenly by its replicas. */
export function rankLoads(load_E: ArrayLike<number>, placement: Placement, moeLayer: number): Float64Array {
  const loads = new Float64Array(placement.numRanks);
  placement.phy2log[moeLayer]!.forEach((logical, physical) => {
    if (logical < 0) return;
    const rank = Math.floor(physical / placement.slotsPerRank);
    loads[rank]! += load_E[logical]! / placement.logcnt[moeLayer]![logical]!;
  });
  return loads;
}

/** mean / max of the loads: 1 = perfect (vLLM's and SGLang's balancedness of one layer); 1 without any load. */
export function balancedness(loads: ArrayLike<number>): number {
  const values = Array.from(loads);
  const highest = Math.max(...values);
  return highest === 0 ? 1 : values.reduce((a, b) => a + b, 0) / values.length / highest;
}
