/** All planners by name. */
import { ExpertError } from '../../../compute/base/errors.js';
import { biased, fixed } from './baselines.js';
import { eplb } from './eplb.js';
import { eplbStable, type StableOptions } from './eplb_stable.js';
import type { Planner } from './planner.js';

/** Their names, in the order in which help texts list them. */
export const PLANNERS = ['eplb', 'eplb_stable', 'biased', 'linear', 'round_robin'] as const;
/** One of {@link PLANNERS}, as configurations and command lines name them. */
export type PlannerName = (typeof PLANNERS)[number];

/** Only `eplb_stable` has options. @throws ExpertError INVALID_ARGUMENT for a name that is none */
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
    default:
      throw new ExpertError('INVALID_ARGUMENT', `no planner '${String(name)}'; there are: ${PLANNERS.join(', ')}`);
  }
}
