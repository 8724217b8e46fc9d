/**
 * Placement without a model: a load whose hot experts change, planned from one window and judged by the next, by three planners with and without copies of experts.
 * In a folder where expertwire and tsx are installed: npx tsx planner.ts [ALPHA]
 */
import { balancednessOf, createPlacement, createPlanner, syntheticLoads, type PlannerName } from 'expertwire/experts';

const alpha = Number(process.argv[2] ?? 1);
const shape = { numLayers: 8, numExperts: 64, seed: 1 };
const [numRanks, numWindows] = [8, 12];

/** Mean balancedness of the window after each plan (1: no rank waits for another), and how many experts moved per plan. */
function judge(name: PlannerName, numSlots: number): { next: number; moved: number } {
  const loads = syntheticLoads({ kind: 'drift', alpha, stay: 0.99 }, shape);
  const planner = createPlanner(name);
  let placement = createPlacement('linear', { ...shape, numRanks });
  let [next, moved] = [0, 0];
  for (let window = 0, load = loads.next().value; window < numWindows; window++) {
    const plan = planner.plan(load, { numRanks, numSlots }, placement);
    placement = plan.placement;
    load = loads.next().value;
    next += balancednessOf(load, placement, 'balanced') / numWindows;
    moved += plan.report.numMovedSlots / numWindows;
  }
  return { next, moved };
}

for (const name of ['linear', 'eplb', 'eplb_stable'] as const) {
  for (const numSlots of [64, 80]) {
    const { next, moved } = judge(name, numSlots);
    console.log(
      `${name}, ${numSlots} slots: balancedness ${next.toFixed(3)}, ${moved.toFixed(1)} experts moved per plan`,
    );
  }
}
