/** What a planner plans for in a job, and whether it can. */
import { causeText } from '../../../base/foreign_text.js';
import { LoadWindow } from '../../../experts/load/load_window.js';
import type { Placement } from '../../../experts/placement/placement.js';
import { ConfigError } from '../../config/errors.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { ModelSpec } from '../../model/spec/spec.js';
import { plannerNamed } from '../../plugins/planners.js';
import type { PluginRegistry } from '../../plugins/plugin_registry.js';
import { PluginError } from '../../plugins/errors.js';

/**
 * Plans once for even load, so that what can't serve the job is refused before the job starts.
 * @throws ConfigError INVALID_VALUE; PluginError PLUGIN_FAILED
 */
export function checkPlanner(
  config: ExpertwireConfig,
  placement: Placement,
  spec: ModelSpec,
  plugins: Pick<PluginRegistry, 'planners'>,
): void {
  const { enabled, planner, window_size: windowSize } = config.load_balance;
  if (!enabled) return;
  const { numRanks, numExperts, phy2log } = placement;
  const even_LE = numExperts.map((count) => new Float64Array(count).fill(1));
  const slots = { numRanks, numSlots: numSlotsOf(placement) };
  const topology = { ...slots, numNodes: config.comm.num_nodes, numGroups: numGroupsOf(spec) };
  check('planner', `${planner} can't plan for this job`, () =>
    plannerNamed(planner, plugins).plan(even_LE, topology, placement),
  );
  check('window_size', `${windowSize} is too long`, () => {
    return new LoadWindow({ numLayers: phy2log.length, numExperts, windowSize });
  });
}

function check(name: string, what: string, act: () => unknown): void {
  try {
    act();
  } catch (cause) {
    if (cause instanceof PluginError) throw cause;
    const reason = causeText(cause).replace('INVALID_ARGUMENT: ', '');
    const key = `load_balance.${name}`;
    throw new ConfigError('INVALID_VALUE', `"${key}": ${what}: ${reason}`, { key, cause });
  }
}

/** Groups of experts that the gate picks from. */
export const numGroupsOf = (spec: ModelSpec): number => spec.moe.gate.groups?.numGroups ?? 1;

/** Slots in use, of the layer with the most. */
export const numSlotsOf = ({ phy2log }: Placement): number =>
  Math.max(...phy2log.map((table) => table.filter((logical) => logical >= 0).length));
