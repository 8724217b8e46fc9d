/** All planners by name. */
import { biased, fixed } from './baselines.js';
import { eplb } from './eplb.js';
import { eplbStable, type StableOptions } from './eplb_stable.js';
import type { Planner } from './planner.js';

export const PLANNERS = ['eplb', 'eplb_stable', 'biased', 'linear', 'round_robin'] as const;
export type PlannerName = (typeof PLANNERS)[number];

/** Only `eplb_stable` has options. */
export function createPlanner(name: PlannerName, options: StableOptions = {}): Planner {
  switch (name) {
    case 'eplb':
      return eplb();
    case 'eplb_stable':
      return eplbStable(options);
    case 'biased':
      return biased();
    case 'linear':
    case 'round_robin':
      return fixed(name);
  }
}
