import { placementFrom, type Placement } from '../../../experts/placement/placement.js';
import { numHeldOf } from '../../../lib/model/spec/slices.js';
import { moeLayersOf, type ModelSpec } from '../../../lib/model/spec/spec.js';

/** Every expert on `numReplicas` ranks: e, e + 1, … modulo the ranks. */
export const replicated =
  (numReplicas: number) =>
  (spec: ModelSpec, numRanks: number): Placement => {
    const numExperts = numHeldOf(spec);
    const held = Array.from({ length: numRanks }, (): number[] => []);
    for (let e = 0; e < numExperts; e++) for (let i = 0; i < numReplicas; i++) held[(e + i) % numRanks]!.push(e);
    const slotsPerRank = Math.max(...held.map(({ length }) => length));
    const phy2log = new Int32Array(numRanks * slotsPerRank).fill(-1);
    held.forEach((experts, rank) => phy2log.set(experts, rank * slotsPerRank));
    return placementFrom(
      0,
      numRanks,
      numExperts,
      moeLayersOf(spec).map(() => phy2log),
    );
  };
