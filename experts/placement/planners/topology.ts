/** What a plan is made for: which slots ranks have, and tables [P] of them: slot s of rank r is entry r·slotsPerRank + s. Pure. */
import { isAlike, relativeCapacities } from '../capacities.js';
import { slotsOf, type Placement } from '../placement.js';

/** What a plan is made for. */
export interface PlanTopology {
  readonly numRanks: number;
  /** Slots of all ranks, per layer. Where they don't divide by the ranks, the first ranks have one more. At least E. */
  readonly numSlots: number;
  /** [numRanks] what each rank computes in the same time: any unit, since only proportions count. Default: all alike. */
  readonly capacities?: readonly number[];
  /** The most slots that a rank has room for. Default: as many as it has where all are alike. */
  readonly maxSlotsPerRank?: number;
  /** Ranks are numbered node by node. Default 1. Only `eplb` looks at it. */
  readonly numNodes?: number;
  /** Groups of experts that the gate picks from. Where they divide by the nodes, `eplb` keeps each on one node. Default 1. */
  readonly numGroups?: number;
}

/**
 * What a topology says of ranks that differ in speed, of which `ranks` are planned for: slots follow capacities, as far as the layout goes. Nothing where
 * all are alike.
 * @param capacities by rank, of all ranks; undefined: all alike
 */
export function speedsOf(
  capacities: readonly number[] | undefined,
  ranks: readonly number[],
  slotsPerRank: number,
): Pick<PlanTopology, 'capacities' | 'maxSlotsPerRank'> {
  const those = ranks.map((rank) => capacities?.[rank] ?? 1);
  return isAlike(those) ? {} : { capacities: those, maxSlotsPerRank: slotsPerRank };
}

/** Of a topology, how many slots ranks have. */
export type SlotTopology = Pick<PlanTopology, 'numRanks' | 'numSlots' | 'capacities' | 'maxSlotsPerRank'>;

/** Slots per rank in the layout of a placement: what the ranks with the most have. */
export const slotsPerRankOf = (topology: SlotTopology): number =>
  roomsOf(topology).reduce((most, room) => Math.max(most, room), 0);

/**
 * [numRanks] slots that each rank really has. Ranks that are alike: the first (slots mod ranks) have one more than the others. Else as many as their
 * capacity: each slot goes to the rank that would take least time for its slots and this one, of several to the first.
 */
export function roomsOf({ numRanks, numSlots, capacities, maxSlotsPerRank }: SlotTopology): Int32Array {
  const relative = relativeCapacities(capacities, numRanks);
  const most = maxSlotsPerRank ?? Math.ceil(numSlots / numRanks);
  const rooms = Int32Array.from(relative, (capacity) => Math.min(most, Math.floor((numSlots / numRanks) * capacity)));
  for (let left = numSlots - rooms.reduce((a, b) => a + b, 0); left > 0; left--) {
    let best = -1;
    for (let rank = 0; rank < numRanks; rank++) {
      if (rooms[rank]! >= most) continue;
      if (best < 0 || (rooms[rank]! + 1) / relative[rank]! < (rooms[best]! + 1) / relative[best]!) best = rank;
    }
    if (best < 0) break; // no rank has room for another
    rooms[best]!++;
  }
  return rooms;
}

/**
 * One layer of a placement in another layout: every rank keeps its experts, in the same slots where it has them. What a rank has no room for, and a
 * second replica of an expert on one rank, falls away.
 */
export function relaid(table: Int32Array, slotsPerRank: number, topology: PlanTopology): Int32Array {
  const rooms = roomsOf(topology);
  const width = slotsPerRankOf(topology);
  const result = new Int32Array(topology.numRanks * width).fill(-1);
  for (let rank = 0; rank < topology.numRanks; rank++) {
    const [from, to] = [rank * slotsPerRank, rank * width];
    const end = to + rooms[rank]!;
    for (let slot = 0; slot < slotsPerRank; slot++) {
      const logical = table[from + slot]!;
      if (logical < 0 || table.indexOf(logical, from) < from + slot) continue;
      // Slots beyond its room come last: what they hold can't take the place of another.
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
