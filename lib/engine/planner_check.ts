/** What a planner plans for in a job, and whether it can. */
import type { Placement } from '../../experts/placement.js';
import { createPlanner } from '../../experts/planners/index.js';
import { ConfigError } from '../config/errors.js';
import type { ExpertwireConfig } from '../config/schema.js';
import type { ModelSpec } from '../model/spec.js';

/**
 * Plans once for even load, so that a planner which can't serve the job is refused before the job starts.
 * @throws ConfigError INVALID_VALUE
 */
export function checkPlanner(
  { load_balance: config, comm }: ExpertwireConfig,
  placement: Placement,
  spec: ModelSpec,
): void {
  if (!config.enabled) return;
  const even_LE = placement.phy2log.map(() => new Float64Array(placement.numExperts).fill(1));
  const topology = { numRanks: placement.numRanks, numSlots: numSlotsOf(placement), numNodes: comm.num_nodes };
  try {
    createPlanner(config.planner).plan(even_LE, { ...topology, numGroups: numGroupsOf(spec) }, placement);
  } catch (cause) {
    const reason = (cause instanceof Error ? cause.message : String(cause)).replace('INVALID_ARGUMENT: ', '');
    const key = 'load_balance.planner';
    throw new ConfigError('INVALID_VALUE', `"${key}": ${config.planner} can't plan for this job: ${reason}`, {
      key,
      cause,
    });
  }
}

/** Groups of experts that the gate picks from. */
export const numGroupsOf = (spec: ModelSpec): number => spec.moe.gate.groups?.numGroups ?? 1;

/** Slots in use, of the layer with the most. */
export const numSlotsOf = ({ phy2log }: Placement): number =>
  Math.max(...phy2log.map((table) => table.filter((logical) => logical >= 0).length));
