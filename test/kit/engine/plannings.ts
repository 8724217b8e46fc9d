/** Planners that move experts for the sake of moving them. */
import { placementFrom } from '../../../experts/placement/placement.js';
import type { Plan } from '../../../experts/placement/planners/planner.js';
import { roomsOf, slotsPerRankOf, type PlanTopology } from '../../../experts/placement/planners/topology.js';
import type { Planning } from '../../../lib/head/rebalancing/planner_thread.js';
import { randomFrom } from '../../refs/random.js';

/** Every plan puts all experts, and random further replicas of some, into random slots, and says that this is perfect. */
export function shuffling(seed = 1): Planning & { readonly numPlans: number } {
  const random = randomFrom(seed);
  let numPlans = 0;
  return {
    get numPlans() {
      return numPlans;
    },
    plan(load_LE, topology, { version, numExperts }) {
      numPlans++;
      const tables = load_LE.map((load_E) => shuffledTable(load_E.length, topology, random));
      const placement = placementFrom(version + 1, topology.numRanks, numExperts, tables);
      const report = { before: { even: 0, balanced: 0 }, after: { even: 1, balanced: 1 }, numMovedSlots: 1, planMs: 0 };
      return Promise.resolve({ placement, report } satisfies Plan);
    },
    prepare: () => undefined,
    close: () => Promise.resolve(),
  };
}

function shuffledTable(numExperts: number, topology: PlanTopology, random: () => number): Int32Array {
  const experts = Array.from({ length: topology.numSlots }, (_, i) =>
    i < numExperts ? i : Math.floor(random() * numExperts),
  );
  for (let i = experts.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [experts[i], experts[j]] = [experts[j]!, experts[i]!];
  }
  const width = slotsPerRankOf(topology);
  const table = new Int32Array(topology.numRanks * width).fill(-1);
  for (const [rank, room] of roomsOf(topology).entries()) table.set(experts.splice(0, room), rank * width);
  return table;
}
