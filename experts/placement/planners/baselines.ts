/** Placements that need no search, to compare with. */
import { createPlacement, type PlacementStrategy } from '../placement.js';
import { plannerOf, type Planner, type PlanRequest } from './planner.js';
import { capacityOf, relaid, slotsPerRankOf } from './topology.js';

/** One replica of every expert, whatever the load; further slots stay empty. */
export const fixed = (strategy: PlacementStrategy): Planner =>
  plannerOf(strategy, ({ load_LE, numExperts, topology }) => {
    const { numRanks } = topology;
    const placement = createPlacement(strategy, { numLayers: load_LE.length, numExperts, numRanks });
    return placement.phy2log.map((table) => relaid(table, placement.slotsPerRank, topology));
  });

/**
 * The hottest k experts on every rank, k = ⌊redundant slots / (ranks − 1)⌋; the others once, from the hottest on, each on the least loaded rank that has
 * room. Slots beyond that stay empty.
 */
export const biased = (): Planner =>
  plannerOf('biased', (request) => request.load_LE.map((load_E) => biasedLayer(load_E, request)));

function biasedLayer(load_E: ArrayLike<number>, { numExperts, topology }: PlanRequest): Int32Array {
  const { numRanks, numSlots } = topology;
  const numEverywhere = numRanks === 1 ? 0 : Math.min(numExperts, Math.floor((numSlots - numExperts) / (numRanks - 1)));
  const hottestFirst = Array.from({ length: numExperts }, (_, e) => e).sort((a, b) => load_E[b]! - load_E[a]!);
  const width = slotsPerRankOf(topology);
  const table = new Int32Array(numRanks * width).fill(-1);
  for (let rank = 0; rank < numRanks; rank++) table.set(hottestFirst.slice(0, numEverywhere), rank * width);

  const numHeld = new Int32Array(numRanks).fill(numEverywhere);
  const rankLoad = new Float64Array(numRanks);
  for (const logical of hottestFirst.slice(numEverywhere)) {
    let lightest = -1;
    for (let rank = 0; rank < numRanks; rank++) {
      if (numHeld[rank]! >= capacityOf(topology, rank)) continue;
      if (lightest < 0 || rankLoad[rank]! < rankLoad[lightest]!) lightest = rank;
    }
    table[lightest * width + numHeld[lightest]!++] = logical;
    rankLoad[lightest]! += load_E[logical]!;
  }
  return table;
}
