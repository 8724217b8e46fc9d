/** Planners by name: those that are there, and those of plug-ins, whose tables are checked. */
import { createPlanner, PLANNERS, type PlannerName } from '../../experts/placement/planners/index.js';
import { plannerOf, type Planner, type PlanRequest } from '../../experts/placement/planners/planner.js';
import { roomsOf, slotsPerRankOf } from '../../experts/placement/planners/topology.js';
import { failed, given, kindOf, type Owner } from './calls.js';
import type { PluginRegistry, Registered } from './plugin_registry.js';
import type { PluginApi } from './plugin.js';

/** @throws ExpertError INVALID_ARGUMENT for a name that nobody brought */
export function plannerNamed(name: string, { planners }: Pick<PluginRegistry, 'planners'>): Planner {
  const brought = planners.get(name);
  return brought === undefined ? createPlanner(name as PlannerName) : pluginPlanner(brought);
}

/** Whether it is there without plug-ins. */
export const isOwnPlanner = (name: string): name is PlannerName => (PLANNERS as readonly string[]).includes(name);

/** Plans with PLUGIN_FAILED where the plug-in throws, or gives tables that no placement can be made of. */
function pluginPlanner(owner: Registered<Parameters<PluginApi['registerPlanner']>[1]>): Planner {
  return plannerOf(owner.brought.name, (request) => {
    const tables = given(owner, '', () => owner.value(structuredClone(request))); // what it writes over is its own
    checkTables(owner, tables, request);
    return tables;
  });
}

function checkTables(owner: Owner, tables: unknown, { load_LE, numExperts, topology }: PlanRequest): void {
  const numLayers = load_LE.length;
  const numSlots = topology.numRanks * slotsPerRankOf(topology);
  if (!Array.isArray(tables) || tables.length !== numLayers) {
    throw failed(owner, `gave ${kindOf(tables)}; give an array of ${numLayers} tables, one for each layer`);
  }
  for (const [layer, table] of (tables as readonly unknown[]).entries()) {
    if (!(table instanceof Int32Array) || table.length !== numSlots) {
      throw failed(
        owner,
        `gave ${kindOf(table)} for layer ${layer}; give an Int32Array of ${numSlots}, the slots of all ranks`,
      );
    }
    checkTable(owner, table, `layer ${layer}`, { numExperts, topology });
  }
}

/** Each expert somewhere, none twice on a rank, and nothing in slots that a rank doesn't have. */
function checkTable(
  owner: Owner,
  table: Int32Array,
  where: string,
  { numExperts, topology }: Pick<PlanRequest, 'numExperts' | 'topology'>,
): void {
  const rooms = roomsOf(topology);
  const width = slotsPerRankOf(topology);
  const lastRank = new Int32Array(numExperts).fill(-1);
  for (const [slot, expert] of table.entries()) {
    if (expert === -1) continue;
    const rank = Math.floor(slot / width);
    const room = rooms[rank]!;
    const what = `put expert ${expert} into slot ${slot % width} of rank ${rank} in ${where}`;
    if (expert < -1 || expert >= numExperts)
      throw failed(owner, `${what}; there are experts 0 … ${numExperts - 1}, and -1 for none`);
    if (slot % width >= room) throw failed(owner, `${what}; that rank has ${room} slots`);
    if (lastRank[expert] === rank) throw failed(owner, `${what}, which holds it already; give a rank each expert once`);
    lastRank[expert] = rank;
  }
  const missing = lastRank.indexOf(-1);
  if (missing >= 0) throw failed(owner, `gave no slot to expert ${missing} in ${where}; give each expert one`);
}
