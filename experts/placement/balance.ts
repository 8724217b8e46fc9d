/** How evenly the tokens of MoE layers fall on ranks. Pure. Shape suffixes: L MoE layers, E logical experts. */
import { relativeCapacities } from './capacities.js';
import type { Placement } from './placement.js';
import { splitLoad, sumByRank, type ReplicaSplit } from './replica_split.js';

/** Tokens per rank of one layer, an expert's load shared out over its replicas, by default evenly. `capacities` as in `splitLoad`. */
export function rankLoads(
  load_E: ArrayLike<number>,
  placement: Placement,
  moeLayer: number,
  split: ReplicaSplit = 'even',
  capacities?: ArrayLike<number>,
): Float64Array {
  return sumByRank(splitLoad(load_E, placement, moeLayer, split, capacities), placement);
}

/** mean / max of the loads: 1 = perfect (vLLM's and SGLang's balancedness of one layer); 1 without any load. */
export function balancedness(given: ArrayLike<number>): number {
  const [loads] = scaledLoad([given]) as [ArrayLike<number>];
  const highest = maxOf(loads);
  return highest === 0 ? 1 : meanOf(loads) / highest;
}

/**
 * Σ over layers of mean rank load / Σ over layers of max rank load: 1 = perfect; 1 without any load. With `capacities` [R] it is the time of ranks that
 * counts: their load by their capacity.
 */
export function balancednessOf(
  load_LE: readonly ArrayLike<number>[],
  placement: Placement,
  split: ReplicaSplit = 'even',
  capacities?: ArrayLike<number>,
): number {
  const loads = scaledLoad(load_LE).map((load_E, layer) => rankLoads(load_E, placement, layer, split, capacities));
  return balancednessOfSums(balanceSums(loads, capacities));
}

/** Balancedness as a fraction whose parts can be summed over layers and steps. */
export interface BalanceSums {
  /** Σ of mean rank loads. */
  readonly meanLoad: number;
  /** Σ of max rank loads. */
  readonly maxLoad: number;
}

/** Of rank loads [L][R], summed over layers; the maximum is that of load by capacity [R], in units of the mean capacity. */
export function balanceSums(load_LR: readonly ArrayLike<number>[], capacities?: ArrayLike<number>): BalanceSums {
  const relative = relativeCapacities(capacities, load_LR[0]?.length ?? 0);
  let [meanLoad, maxLoad] = [0, 0];
  for (const load_R of load_LR) {
    meanLoad += meanOf(load_R);
    maxLoad += maxOf(relative.map((capacity, rank) => load_R[rank]! / capacity));
  }
  return { meanLoad, maxLoad };
}

/** 1 = perfect, also without any load. */
export const balancednessOfSums = ({ meanLoad, maxLoad }: BalanceSums): number =>
  maxLoad === 0 ? 1 : meanLoad / maxLoad;

/**
 * The same proportions in numbers whose sums neither overflow nor vanish, in float32 too: multiplied by a power of two, which rounds nothing but what is far
 * below the largest. Ordinary loads come back as they are.
 */
export function scaledLoad(load_LE: readonly ArrayLike<number>[]): readonly ArrayLike<number>[] {
  const highest = load_LE.reduce((max, load_E) => Array.from(load_E).reduce((a, b) => Math.max(a, b), max), 0);
  if (highest === 0 || (highest >= 2 ** -64 && highest <= 2 ** 64)) return load_LE;
  const exponent = -Math.floor(Math.log2(highest));
  const [one, other] = [2 ** Math.trunc(exponent / 2), 2 ** (exponent - Math.trunc(exponent / 2))]; // together they may be over the largest number
  return load_LE.map((load_E) => Float64Array.from(load_E, (load) => load * one * other));
}

const meanOf = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0) / values.length;

const maxOf = (values: ArrayLike<number>): number => Math.max(...Array.from(values));
