/** `expertwire bench eplb`: how well planners balance the next window, what they move for it, and how long they take. */
import { PLANNERS, type PlannerName } from '../../experts/placement/planners/index.js';
import { checkPlanSize } from '../../experts/placement/planners/planner.js';
import { UsageError, type CommandContext } from '../../lib/commands/base/context.js';
import { seedNumber, wholeNumber } from '../../lib/commands/base/numbers.js';
import { table } from '../../lib/metrics/charts.js';
import { thisMachine } from '../base/machine.js';
import { accepted, benchParser } from '../base/options.js';
import { judge, type EplbRow } from './judge.js';
import { loadCases, type SyntheticShape } from './loads.js';

interface Options extends SyntheticShape {
  readonly windows: number;
  readonly planners: readonly PlannerName[];
  readonly seed: number;
  readonly json: boolean;
}

/** Runs the benchmark and writes a report, or one JSON object with --json, to `stdout`. @throws UsageError for options that can't be measured. */
export function benchEplb(args: readonly string[], { stdout }: CommandContext): Promise<void> {
  const options = accepted(parse(args));
  const { seed, windows } = options;
  const cases = loadCases(options, windows, seed);
  const rows = cases.flatMap((each) => options.planners.map((planner) => judge(each, planner)));
  const machine = thisMachine();
  stdout.write(options.json ? `${JSON.stringify({ machine, seed, windows, rows })}\n` : report(options, rows));
  return Promise.resolve();
}

function parse(args: readonly string[]): Options {
  const { layers, experts, slots, ranks, windows, seed, json, planners } = benchParser(
    'eplb',
    args,
    'Balancedness on the next window, replicas moved and plan time, per load and planner.',
  )
    .option('layers', { type: 'number', default: 58, describe: 'MoE layers of the synthetic loads' })
    .option('experts', { type: 'number', default: 256, describe: 'logical experts' })
    .option('slots', { type: 'number', default: 288, describe: 'slots of all ranks, per layer' })
    .option('ranks', { type: 'number', default: 32, describe: 'ranks' })
    .option('windows', { type: 'number', default: 9, describe: 'windows: one plan less is made and judged' })
    .option('planners', { type: 'string', default: 'linear,eplb,eplb_stable', describe: PLANNERS.join(', ') })
    .option('seed', { type: 'number', default: 1, describe: 'of the loads' })
    .option('json', { type: 'boolean', default: false, describe: 'one JSON object' })
    .parseSync();
  for (const [name, value] of Object.entries({ layers, experts, slots, ranks })) wholeNumber(`--${name}`, value, 1);
  wholeNumber('--windows', windows, 3);
  seedNumber('--seed', seed);
  checkPlanSize(layers, slots, ranks);
  wholeNumber('--layers × --experts × --windows', layers * experts * windows, 1);
  return { layers, experts, slots, ranks, windows, seed, json, planners: planners.split(',').map(plannerNamed) };
}

function plannerNamed(name: string): PlannerName {
  const planner = PLANNERS.find((each) => each === name);
  if (planner === undefined) throw new UsageError(`no planner '${name}'; there are: ${PLANNERS.join(', ')}`);
  return planner;
}

function report({ seed, windows }: Options, rows: readonly EplbRow[]): string {
  const { cpu, cores, memory, node } = thisMachine();
  const shapes = new Set(
    rows.map(
      ({ load, layers, experts, slots, ranks }) =>
        `${load === 'moe-7m' ? load : 'synthetic'}: ${layers} layers, ${experts} experts in ${slots} slots on ${ranks} ranks`,
    ),
  );
  return `${[
    `${cpu}, ${cores} cores, ${memory}, Node ${node}; seed ${seed}; ${windows} windows, the first plan from a linear placement`,
    ...shapes,
    'balancedness = Σ mean rank load / Σ max rank load over layers (1 = perfect), of the next window and of the one planned from (now);',
    'even, balanced: how replicas share the load; moved = replicas on ranks that did not hold the expert, all layers, per plan after the first',
    '',
    table([
      ['load · planner', 'next even', 'next balanced', 'now even', 'now balanced', 'moved', 'moved first', 'plan ms'],
      ...rows.map((row) => [
        `${row.load} · ${row.planner}`,
        ...[row.next_even, row.next_balanced, row.now_even, row.now_balanced].map((value) => value.toFixed(3)),
        row.moved_slots.toFixed(0),
        String(row.first_moved_slots),
        row.plan_ms.toFixed(1),
      ]),
    ]),
  ].join('\n')}\n`;
}
