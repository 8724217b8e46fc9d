/** `expertwire plan`: from the load of the experts to a placement, with the balance before and after. */
import { writeFile } from 'node:fs/promises';
import type { Argv } from 'yargs';
import { balancedness, balancednessOf, rankLoads } from '../../experts/balance.js';
import { ExpertError } from '../../experts/errors.js';
import { createPlacement, type Placement } from '../../experts/placement.js';
import { placementToJson } from '../../experts/placement_json.js';
import { createPlanner, PLANNERS, type PlannerName } from '../../experts/planners/index.js';
import type { ExpertLoad, Plan } from '../../experts/planners/planner.js';
import type { PlanTopology } from '../../experts/planners/topology.js';
import { REPLICA_SPLITS, type ReplicaSplit } from '../../experts/replica_split.js';
import { readPlacementFile } from '../config/placement_file.js';
import { heatRows } from '../metrics/balance_charts.js';
import type { BalancePictures, RankLoads } from '../metrics/balance_plots.js';
import { table } from '../metrics/charts.js';
import { UsageError, type CommandContext } from './context.js';
import { readLoad } from './load_file.js';
import { wholeNumber } from './numbers.js';
import { checkPlotFile, writePlot } from './plot_file.js';

export interface PlanArgs {
  readonly load: string;
  readonly ranks: number;
  readonly slots?: number | undefined;
  readonly nodes: number;
  readonly groups: number;
  readonly planner: PlannerName;
  readonly current?: string | undefined;
  readonly moveCost?: number | undefined;
  readonly output?: string | undefined;
  readonly plot?: string | undefined;
  readonly chart?: boolean | undefined;
  readonly json?: boolean | undefined;
}

export function planOptions<T>(yargs: Argv<T>): Argv<T & PlanArgs> {
  return yargs
    .option('load', {
      type: 'string',
      demandOption: true,
      describe: 'JSON file {"weight": [[load of each expert] per layer]}, or what --record wrote',
    })
    .option('ranks', { type: 'number', demandOption: true, describe: 'ranks' })
    .option('slots', { type: 'number', describe: 'slots of all ranks, per layer (one per expert)' })
    .option('nodes', { type: 'number', default: 1, describe: 'nodes, ranks being numbered node by node' })
    .option('groups', {
      type: 'number',
      default: 1,
      describe: 'groups of experts; eplb keeps each on one node if they divide by the nodes',
    })
    .option('planner', { choices: PLANNERS, default: 'eplb' as const, describe: 'how to plan' })
    .option('current', { type: 'string', describe: 'placement file to start from (linear, one replica)' })
    .option('move-cost', {
      type: 'number',
      describe: 'eplb_stable: what a moved replica must take from Σ (rank load / mean)² of its layer (0.003)',
    })
    .option('output', { type: 'string', describe: 'write the placement to this file, for experts.placement' })
    .option('plot', {
      type: 'string',
      describe: 'draw the load of experts and of ranks, before and after: .svg or .html',
    })
    .option('chart', { type: 'boolean', describe: 'the same in characters' })
    .option('json', { type: 'boolean', describe: 'one JSON object: phy2log, log2phy, logcnt, balancedness' });
}

export async function plan(args: PlanArgs, context: CommandContext): Promise<void> {
  try {
    await run(args, context);
  } catch (error) {
    if (!(error instanceof ExpertError)) throw error;
    throw new UsageError(error.message); // another file or option mends it
  }
}

async function run(args: PlanArgs, { stdout, stderr }: CommandContext): Promise<void> {
  checkPlotFile(args.plot);
  const topology = topologyOf(args);
  const load_LE = await readLoad(args.load);
  const current = await currentOf(args, load_LE);
  const options = args.moveCost === undefined ? {} : { moveCost: args.moveCost };
  const wanted = { ...topology, numSlots: args.slots ?? load_LE[0]!.length };
  const planned = createPlanner(args.planner, options).plan(load_LE, wanted, current);
  if (args.output !== undefined) await write(args.output, planned.placement);
  if (args.plot !== undefined) await writePlot(args.plot, picturesOf(args, load_LE, current, planned.placement));
  stdout.write(args.json === true ? json(load_LE, planned.placement) : report(args, load_LE, current, planned));
  if (args.chart === true && args.json !== true) stdout.write(chart(load_LE, current, planned.placement));
  if (args.output !== undefined) stderr.write(`placement written; use it with generate --placement ${args.output}\n`);
}

function topologyOf({ ranks, slots, nodes, groups }: PlanArgs): Omit<PlanTopology, 'numSlots'> {
  wholeNumber('--slots', slots, 1);
  return {
    numRanks: wholeNumber('--ranks', ranks, 1)!,
    numNodes: wholeNumber('--nodes', nodes, 1)!,
    numGroups: wholeNumber('--groups', groups, 1)!,
  };
}

async function currentOf({ current, ranks: numRanks }: PlanArgs, load_LE: ExpertLoad): Promise<Placement> {
  const shape = { numLayers: load_LE.length, numExperts: load_LE[0]!.length, numRanks };
  if (current === undefined) return createPlacement('linear', shape);
  return readPlacementFile(current, shape, (message) => {
    throw new UsageError(`--current: ${message}`);
  });
}

/** Balancedness per layer, replicas sharing evenly. */
function json(load_LE: ExpertLoad, placement: Placement): string {
  const { phy2log, log2phy, logcnt } = placement;
  const result = {
    phy2log: phy2log.map((slots) => [...slots]),
    log2phy: log2phy.map((experts) => experts.map((replicas) => [...replicas])),
    logcnt: logcnt.map((counts) => [...counts]),
    balancedness: load_LE.map((load_E, layer) => balancedness(rankLoads(load_E, placement, layer))),
  };
  return `${JSON.stringify(result)}\n`;
}

function report(args: PlanArgs, load_LE: ExpertLoad, current: Placement, { placement, report }: Plan): string {
  const { numMovedSlots, planMs } = report;
  const numHeld = placement.phy2log.reduce((sum, slots) => sum + slots.filter((logical) => logical >= 0).length, 0);
  const both = [current, placement];
  const columns = REPLICA_SPLITS.flatMap((split) => both.map((each) => [split, each] as const));
  const all = columns.map(([split, each]) => balancednessOf(load_LE, each, split).toFixed(4));
  const layers = load_LE.map((load_E, layer) => [
    `layer ${layer}`,
    ...columns.map(([split, each]) => layerBalance(load_E, each, layer, split)),
  ]);
  const head = REPLICA_SPLITS.flatMap((split) => [`${split} before`, `${split} after`]);
  return `${[
    `${args.planner}: ${load_LE.length} layers of ${placement.numExperts} experts in ${args.slots ?? placement.numExperts} slots ` +
      `on ${args.ranks} ranks; before: ${args.current ?? 'linear, one replica'}`,
    'balancedness of this load (mean rank load / max rank load, 1 = perfect; all: Σ mean / Σ max), replicas sharing evenly or balanced (min-max)',
    '',
    table([['', ...head], ['all', ...all], ...layers]),
    '',
    `moved slots ${numMovedSlots} of ${numHeld} (replicas on ranks that did not hold the expert) · plan time ${planMs.toFixed(1)} ms`,
  ].join('\n')}\n`;
}

const rankLoadsOf = (load_LE: ExpertLoad, placement: Placement): Float64Array[] =>
  load_LE.map((load_E, layer) => rankLoads(load_E, placement, layer));

function picturesOf(args: PlanArgs, load_LE: ExpertLoad, current: Placement, placement: Placement): BalancePictures {
  const of = (name: string, each: Placement): RankLoads => ({
    name,
    load_LR: rankLoadsOf(load_LE, each),
    balancedness: balancednessOf(load_LE, each),
  });
  const ranks = [of(`before (${args.current ?? 'linear'})`, current), of(`after (${args.planner})`, placement)];
  const title = `${args.planner} on ${args.ranks} ranks`;
  return { title, load_LE, ranks, balanceOverTime: [], rebalances: [] };
}

function chart(load_LE: ExpertLoad, current: Placement, placement: Placement): string {
  return `\n${[
    'load of each expert',
    heatRows(load_LE),
    ...['', 'load of each rank before', heatRows(rankLoadsOf(load_LE, current))],
    ...['', 'load of each rank after', heatRows(rankLoadsOf(load_LE, placement))],
  ].join('\n')}\n`;
}

const layerBalance = (load_E: ArrayLike<number>, placement: Placement, layer: number, split: ReplicaSplit): string =>
  balancedness(rankLoads(load_E, placement, layer, split)).toFixed(4);

async function write(file: string, placement: Placement): Promise<void> {
  try {
    await writeFile(file, `${JSON.stringify(placementToJson(placement))}\n`);
  } catch (cause) {
    throw new UsageError(
      `--output ${file} can't be written (${cause instanceof Error ? cause.message : String(cause)})`,
    );
  }
}
