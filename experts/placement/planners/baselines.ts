/** Placements that need no search, to compare with. */
import { relativeCapacities } from '../capacities.js';
import { createPlacement, type PlacementStrategy } from '../placement.js';
import { plannerOf, type Planner, type PlanRequest } from './planner.js';
import { relaid, roomsOf, slotsPerRankOf } from './topology.js';

/** One replica of every expert, whatever the load and the capacities; further slots stay empty. */
export const fixed = (strategy: PlacementStrategy): Planner =>
  plannerOf(strategy, ({ load_LE, numExperts, topology }) => {
    const { numRanks, numSlots } = topology;
    const placement = createPlacement(strategy, { numLayers: load_LE.length, numExperts, numRanks });
    return placement.phy2log.map((table) => relaid(table, placement.slotsPerRank, { numRanks, numSlots }));
  });

/**
 * The hottest k experts on every rank, k = ⌊redundant slots / (ranks − 1)⌋ where every rank has as many slots; the others once, from the hottest on,
 * each on the rank that has room and would be done with its experts first. Slots beyond that stay empty.
 */
export const biased = (): Planner =>
  plannerOf('biased', (request) => request.load_LE.map((load_E) => biasedLayer(load_E, request)));

function biasedLayer(load_E: ArrayLike<number>, { numExperts, topology }: PlanRequest): Int32Array {
  const { numRanks, numSlots } = topology;
  const capacities = relativeCapacities(topology.capacities, numRanks);
  const rooms = roomsOf(topology);
  const numAsked = numRanks === 1 ? 0 : Math.floor((numSlots - numExperts) / (numRanks - 1));
  const numEverywhere = Math.min(numExperts, numAsked, ...rooms);
  const hottestFirst = Array.from({ length: numExperts }, (_, e) => e).sort((a, b) => load_E[b]! - load_E[a]!);
  const width = slotsPerRankOf(topology);
  const table = new Int32Array(numRanks * width).fill(-1);
  for (let rank = 0; rank < numRanks; rank++) table.set(hottestFirst.slice(0, numEverywhere), rank * width);

  const numHeld = new Int32Array(numRanks).fill(numEverywhere);
  const rankLoad = new Float64Array(numRanks);
  const timeOn = (rank: number, logical: number): number => (rankLoad[rank]! + load_E[logical]!) / capacities[rank]!;
  for (const logical of hottestFirst.slice(numEverywhere)) {
    let lightest = -1;
    for (let rank = 0; rank < numRanks; rank++) {
      if (numHeld[rank]! >= rooms[rank]!) continue;
      if (lightest < 0 || timeOn(rank, logical) < timeOn(lightest, logical)) lightest = rank;
    }
    table[lightest * width + numHeld[lightest]!++] = logical;
    rankLoad[lightest]! += load_E[logical]!;
  }
  return table;
}
