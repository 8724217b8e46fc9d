/** `expertwire plan`: from the load of the experts to a placement, with the balance before and after. */
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Argv } from 'yargs';
import { shown } from '../../../base/foreign_text.js';
import { MAX_RANKS } from '../../../base/ids.js';
import { balancedness, balancednessOfSums, balanceSums } from '../../../experts/placement/balance.js';
import { ExpertError } from '../../../compute/base/errors.js';
import { countsText, mostOf } from '../../../experts/placement/expert_counts.js';
import type { Placement } from '../../../experts/placement/placement.js';
import { placementToJson } from '../../../experts/placement/placement_json.js';
import { PLANNERS } from '../../../experts/placement/planners/index.js';
import type { ExpertLoad, Plan } from '../../../experts/placement/planners/planner.js';
import type { PlanTopology } from '../../../experts/placement/planners/topology.js';
import { REPLICA_SPLITS } from '../../../experts/placement/replica_split.js';
import { slicedLoad } from '../../../experts/placement/slices.js';
import { MAX_SLICES, type ConfigPlugin } from '../../config/schema.js';
import { isOwnPlanner } from '../../plugins/planners.js';
import { EngineError } from '../../protocol/errors.js';
import { PlannerThread } from '../../head/rebalancing/planner_thread.js';
import { heatRows } from '../../metrics/balance_charts.js';
import type { BalancePictures, RankLoads } from '../../pictures/balance/balance_plots.js';
import { table } from '../../metrics/charts.js';
import { UsageError, type CommandContext } from '../base/context.js';
import { readLoad, type LoadFile } from './load_file.js';
import { wholeNumber } from '../base/numbers.js';
import { checkOutputs, outputFailed } from '../base/output_file.js';
import { beforePlan, rankLoadBySplit, type Before, type LoadBySplit } from './plan_before.js';
import { checkPlotFile, writePlot } from '../base/plot_file.js';

/** The options of `plan` as yargs parses them; `slots` without a value: one per expert. */
export interface PlanArgs {
  readonly load: string;
  readonly ranks: number;
  readonly slots?: number | undefined;
  readonly expertSlices?: number | undefined;
  readonly nodes: number;
  readonly groups: number;
  readonly planner: string;
  readonly plugin?: readonly string[] | undefined;
  readonly current?: string | undefined;
  readonly moveCost?: number | undefined;
  readonly output?: string | undefined;
  readonly plot?: string | undefined;
  readonly chart?: boolean | undefined;
  readonly json?: boolean | undefined;
}

/** Adds the options of `plan` to a command line. */
export function planOptions<T>(yargs: Argv<T>): Argv<T & PlanArgs> {
  return yargs
    .option('load', {
      type: 'string',
      demandOption: true,
      describe: 'JSON file {"weight": [[load of each expert] per layer]}, or what --record wrote',
    })
    .option('ranks', { type: 'number', demandOption: true, describe: 'ranks' })
    .option('slots', { type: 'number', describe: 'slots of all ranks, per layer (one per expert)' })
    .option('expert-slices', {
      type: 'number',
      describe: 'slices that experts are divided into, each of which is placed (1)',
    })
    .option('nodes', { type: 'number', default: 1, describe: 'nodes, ranks being numbered node by node' })
    .option('groups', {
      type: 'number',
      default: 1,
      describe: 'groups of experts; eplb keeps each on one node if they divide by the nodes',
    })
    .option('planner', { type: 'string', default: 'eplb', describe: `how to plan: ${PLANNERS.join(', ')}` })
    .option('plugin', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'module that brings further planners (docs/plugins.md); given once for each',
    })
    .option('current', {
      type: 'string',
      describe: 'placement file to start from (what the recording ran with, else linear, one replica)',
    })
    .option('move-cost', {
      type: 'number',
      describe: 'eplb_stable: what a moved replica must take from Σ (rank load / mean)² of its layer (0.003)',
    })
    .option('output', { type: 'string', describe: 'write the placement to this file, for experts.placement' })
    .option('plot', {
      type: 'string',
      describe: 'draw the load of experts and of ranks, before and after, and which experts move: .svg, .png or .html',
    })
    .option('chart', { type: 'boolean', describe: 'the same in characters' })
    .option('json', { type: 'boolean', describe: 'one JSON object: phy2log, log2phy, logcnt, balancedness' });
}

/**
 * Plans in a thread of its own and prints the balance before and after, or with `--json` the tables.
 * @throws UsageError for whatever another file or option mends; OutputError
 */
export async function plan(args: PlanArgs, context: CommandContext): Promise<void> {
  try {
    await run(args, context);
  } catch (error) {
    if (!(error instanceof ExpertError || error instanceof EngineError)) throw error;
    throw new UsageError(error.code === 'REBALANCE_FAILED' ? error.text : error.message); // another file or option mends it
  }
}

async function run(args: PlanArgs, { stdout, stderr, signal }: CommandContext): Promise<void> {
  checkPlotFile(args.plot);
  await checkOutputs(
    { '--output': args.output, '--plot': args.plot },
    { '--load': args.load, '--current': args.current },
  );
  const topology = topologyOf(args);
  const plugins = (args.plugin ?? []).map((path) => ({ path: resolve(path), options: {} }));
  await checkPlannerName(args.planner, plugins);
  const load = ofSlices(
    await readLoad(args.load),
    wholeNumber('--expert-slices', args.expertSlices, 1, MAX_SLICES) ?? 1,
  );
  const { load_LE } = load;
  const before = await beforePlan(args.current, load, topology.numRanks);
  const options = args.moveCost === undefined ? {} : { moveCost: args.moveCost };
  const wanted = { ...topology, numSlots: args.slots ?? Math.max(...load_LE.map(({ length }) => length)) };
  const planned = await planBeside(new PlannerThread(args.planner, plugins, options), signal, (planning) =>
    planning.plan(load_LE, wanted, before.placement),
  );
  signal.throwIfAborted();
  const { placement } = planned;
  if (args.output !== undefined) await write(args.output, placement);
  const after = rankLoadBySplit(load_LE, placement);
  if (args.plot !== undefined) await writePlot(args.plot, picturesOf(args, load_LE, { before, after, placement }));
  stdout.write(args.json === true ? json(after.even, placement) : report(args, before, after, planned));
  if (args.chart === true && args.json !== true) stdout.write(chart(load_LE, before, after));
  if (args.output !== undefined) stderr.write(`placement written; use it with generate --placement ${args.output}\n`);
}

/** What ran doesn't tell which slice was where. */
const ofSlices = ({ load_LE, run }: LoadFile, numSlices: number): LoadFile =>
  numSlices === 1 ? { load_LE, run } : { load_LE: slicedLoad(load_LE, numSlices), run: null };

/** @throws UsageError, PluginError INVALID_PLUGIN */
async function checkPlannerName(planner: string, plugins: readonly ConfigPlugin[]): Promise<void> {
  if (isOwnPlanner(planner)) return;
  const { loadPlugins } = await import('../../plugins/load_plugins.js');
  const { registry } = await loadPlugins(plugins);
  if (registry.planners.has(planner)) return;
  const names = [...PLANNERS, ...registry.planners.keys()];
  throw new UsageError(
    `--planner: there is no ${shown(planner)}; give ${names.join(', ')}, or a --plugin that brings it`,
  );
}

/** In a thread of its own, so that Ctrl-C ends a plan that takes long. */
async function planBeside(
  planning: PlannerThread,
  signal: AbortSignal,
  work: (planning: PlannerThread) => Promise<Plan>,
): Promise<Plan> {
  signal.throwIfAborted(); // while the load was read
  const stop = (): void => void planning.close();
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await work(planning);
  } finally {
    signal.removeEventListener('abort', stop);
    await planning.close();
  }
}

function topologyOf({ ranks, slots, nodes, groups }: PlanArgs): Omit<PlanTopology, 'numSlots'> {
  wholeNumber('--slots', slots, 1);
  return {
    numRanks: wholeNumber('--ranks', ranks, 1, MAX_RANKS)!,
    numNodes: wholeNumber('--nodes', nodes, 1)!,
    numGroups: wholeNumber('--groups', groups, 1)!,
  };
}

/** Balancedness per layer, replicas sharing evenly. */
function json(load_LR: readonly ArrayLike<number>[], placement: Placement): string {
  const { phy2log, log2phy, logcnt } = placement;
  const result = {
    phy2log: phy2log.map((slots) => [...slots]),
    log2phy: log2phy.map((experts) => experts.map((replicas) => [...replicas])),
    logcnt: logcnt.map((counts) => [...counts]),
    balancedness: load_LR.map(balancedness),
  };
  return `${JSON.stringify(result)}\n`;
}

function report(args: PlanArgs, before: Before, after: LoadBySplit, { placement, report }: Plan): string {
  const { numMovedSlots, planMs } = report;
  const numHeld = placement.phy2log.reduce((sum, slots) => sum + slots.filter((logical) => logical >= 0).length, 0);
  const columns = REPLICA_SPLITS.flatMap((split) => [before.rankLoad[split], after[split]]);
  const all = columns.map((load_LR) => balancednessOfSums(balanceSums(load_LR)).toFixed(4));
  const layers = after.even.map((_, layer) => [
    `layer ${layer}`,
    ...columns.map((load_LR) => balancedness(load_LR[layer]!).toFixed(4)),
  ]);
  const head = REPLICA_SPLITS.flatMap((split) => [`${split} before`, `${split} after`]);
  return `${[
    `${args.planner}: ${layers.length} layers of ${countsText(placement.numExperts)} ${(args.expertSlices ?? 1) > 1 ? 'slices of experts' : 'experts'} in ${args.slots ?? mostOf(placement.numExperts)} slots ` +
      `on ${args.ranks} ranks; before: ${before.text}`,
    'balancedness of this load (mean rank load / max rank load, 1 = perfect; all: Σ mean / Σ max), replicas sharing evenly or balanced (min-max)',
    '',
    table([['', ...head], ['all', ...all], ...layers]),
    '',
    `moved slots ${numMovedSlots} of ${numHeld} (replicas on ranks that did not hold the expert) · plan time ${planMs.toFixed(1)} ms`,
  ].join('\n')}\n`;
}

function picturesOf(
  args: PlanArgs,
  load_LE: ExpertLoad,
  { before, after, placement }: { readonly before: Before; readonly after: LoadBySplit; readonly placement: Placement },
): BalancePictures {
  const of = (name: string, { even }: LoadBySplit): RankLoads => ({
    name,
    load_LR: even,
    balancedness: balancednessOfSums(balanceSums(even)),
  });
  const ranks = [of(`before (${before.name})`, before.rankLoad), of(`after (${args.planner})`, after)];
  const title = `${args.planner} on ${args.ranks} ranks`;
  const slots = { numRanks: placement.numRanks, before: before.placement.phy2log, after: placement.phy2log };
  return { title, load_LE, replicas_LE: placement.logcnt, ranks, slots, balanceOverTime: [], rebalances: [] };
}

function chart(load_LE: ExpertLoad, before: Before, after: LoadBySplit): string {
  return `\n${[
    'load of each expert',
    heatRows(load_LE),
    ...['', 'load of each rank before', heatRows(before.rankLoad.even)],
    ...['', 'load of each rank after', heatRows(after.even)],
  ].join('\n')}\n`;
}

async function write(file: string, placement: Placement): Promise<void> {
  try {
    await writeFile(file, `${JSON.stringify(placementToJson(placement))}\n`);
  } catch (cause) {
    throw outputFailed('--output', file, cause);
  }
}
