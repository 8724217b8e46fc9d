/** What `expertwire bench balance` prints. */
import { table } from '../../lib/metrics/charts.js';
import type { Machine } from '../base/machine.js';
import type { Balance, BalanceOptions } from './measure.js';
import type { Gain } from './rounds.js';
import type { BalanceRow, SpeedFrom } from './rows.js';
import { SPLIT_SHAPE, type SplitRow } from './split_time.js';

/** The text for people: machine, settings, the meaning of every column, a table of placements and choices, and one of choosing alone. */
export function report(
  { cpu, cores, memory, node }: Machine,
  options: BalanceOptions,
  { numSlots, speedFrom, rows }: Balance,
  splits: readonly SplitRow[],
): string {
  const { ranks, kind, numPrompts, promptTokens, newTokens, rounds, seed, model } = options;
  return `${[
    `${cpu}, ${cores} cores, ${memory}, Node ${node}; seed ${seed}; ${rounds} rounds, each runs every row once; medians, after a warm-up`,
    `${model}: ${ranks} ranks, ${numSlots} slots per layer where planned; ${numPrompts} prompts of ${promptTokens} tokens (${kind}), ${newTokens} new ones each`,
    'placements are planned from the load of other prompts of that kind; balancedness = Σ mean rank load / Σ max rank load over layers (1 = perfect),',
    "planned: of the whole run's load, measured: with the maximum of each step; gain predicted = makespan (Σ over steps and layers of the busiest rank's",
    'rows) of off / this one; gains of speed are against off of the same round (lowest–highest); reached = (gain − 1) / (gain predicted − 1);',
    'choose = time of choosing replicas per layer and step, mean over ranks',
    ...SPEED_NOTES[speedFrom](ranks, cores),
    '',
    table([headOf(speedFrom), ...rows.map((row) => cellsOf(row, speedFrom))]),
    '',
    ...splitReport(splits),
  ].join('\n')}\n`;
}

const SPEED_NOTES: Readonly<Record<SpeedFrom, (ranks: number, cores: number) => string[]>> = {
  throughput: () => [],
  rank_costs: (ranks, cores) => [
    '',
    `${ranks} ranks share ${cores} cores: tokens/s here say nothing about a machine per rank. PREDICTED instead, from what each rank's work took here: per step`,
    'the slowest rank without experts, dispatch and combine, and per layer the rank whose experts take longest (its time per routed row · its rows).',
  ],
};

const headOf = (speedFrom: SpeedFrom): string[] => [
  ...['placement · choice', 'planned', 'measured', 'gain predicted'],
  ...(speedFrom === 'throughput' ? ['tokens/s', 'gain measured'] : ['gain by rank costs']),
  ...['reached', 'experts ms', 'choose µs'],
];

function cellsOf(row: BalanceRow, speedFrom: SpeedFrom): string[] {
  const isMeasured = speedFrom === 'throughput';
  return [
    `${row.placement} · ${row.choice}`,
    ...[row.planned_balancedness.toFixed(3), row.measured_balancedness.toFixed(3)],
    `${row.predicted_gain.toFixed(2)}x`,
    ...(isMeasured ? [row.tokens_per_s.toFixed(0)] : []),
    gainText(isMeasured ? row.throughput_gain : row.rank_cost_gain),
    row.reached === null ? '–' : `${(100 * row.reached).toFixed(0)} %`,
    ...[row.experts_ms.toFixed(0), row.choose_us.toFixed(0)],
  ];
}

const gainText = ({ median, lowest, highest }: Gain): string =>
  `${median.toFixed(2)}x (${lowest.toFixed(2)}–${highest.toFixed(2)})`;

function splitReport(splits: readonly SplitRow[]): string[] {
  const { experts, slots, ranks, topk } = SPLIT_SHAPE;
  return [
    `choosing alone, one rank: Zipf 1.0, ${experts} experts in ${slots} slots on ${ranks} ranks, ${topk} per token; allgather without its messages`,
    '',
    table([
      ['choice', 'tokens', 'median µs', 'p99 µs'],
      ...splits.map(({ choice, tokens, median_us, p99_us }) => [
        ...[choice, String(tokens), median_us.toFixed(0), p99_us.toFixed(0)],
      ]),
    ]),
  ];
}
