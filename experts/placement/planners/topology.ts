/** What a plan is made for: which slots ranks have, and tables [P] of them: slot s of rank r is entry r·slotsPerRank + s. Pure. */
import { slotsOf, type Placement } from '../placement.js';

/** What a plan is made for. */
export interface PlanTopology {
  readonly numRanks: number;
  /** Slots of all ranks, per layer. Where they don't divide by the ranks, the first ranks have one more. At least E. */
  readonly numSlots: number;
  /** Ranks are numbered node by node. Default 1. Only `eplb` looks at it. */
  readonly numNodes?: number;
  /** Groups of experts that the gate picks from. Where they divide by the nodes, `eplb` keeps each on one node. Default 1. */
  readonly numGroups?: number;
}

/** Slots per rank in the layout of a placement: what the ranks with the most have. */
export const slotsPerRankOf = ({ numRanks, numSlots }: Pick<PlanTopology, 'numRanks' | 'numSlots'>): number =>
  Math.ceil(numSlots / numRanks);

/** Slots that a rank really has: the first (slots mod ranks) ranks have one more than the others. */
export const capacityOf = ({ numRanks, numSlots }: Pick<PlanTopology, 'numRanks' | 'numSlots'>, rank: number): number =>
  Math.floor(numSlots / numRanks) + (rank < numSlots % numRanks ? 1 : 0);

/**
 * One layer of a placement in another layout: every rank keeps its experts, in the same slots where it has them. What a rank has no room for, and a
 * second replica of an expert on one rank, falls away.
 */
export function relaid(table: Int32Array, slotsPerRank: number, topology: PlanTopology): Int32Array {
  const width = slotsPerRankOf(topology);
  const result = new Int32Array(topology.numRanks * width).fill(-1);
  for (let rank = 0; rank < topology.numRanks; rank++) {
    const [from, to] = [rank * slotsPerRank, rank * width];
    const end = to + capacityOf(topology, rank);
    for (let slot = 0; slot < slotsPerRank; slot++) {
      const logical = table[from + slot]!;
      if (logical < 0 || table.indexOf(logical, from) < from + slot) continue;
      // Slots beyond the capacity come last: what they hold can't take the place of another.
      const at = to + slot < end ? to + slot : result.indexOf(-1, to);
      if (at >= 0 && at < end) result[at] = logical;
    }
  }
  return result;
}

/** Whether two tables [P] of a layer have the same experts in the same slots. */
export const isSameTable = (a: Int32Array, b: Int32Array): boolean =>
  a.length === b.length && a.every((logical, p) => logical === b[p]);

/** Replicas on ranks that did not hold the expert before; all of them without a placement before. */
export function numMovedSlots(before: Placement | null, after: Placement): number {
  if (before === after) return 0;
  let moved = 0;
  for (const layer of after.phy2log.keys()) {
    for (let rank = 0; rank < after.numRanks; rank++) {
      const held = new Set(before === null ? [] : slotsOf(before, layer, rank));
      held.add(-1);
      for (const logical of new Set(slotsOf(after, layer, rank))) if (!held.has(logical)) moved++;
    }
  }
  return moved;
}
