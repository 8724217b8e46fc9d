/** An experiment with results, made by hand: planners and redundancy, with a machine that drifts. */
import type { Experiment } from '../../../lib/experiment/base/experiment.js';
import type { MetricInfo } from '../../../lib/experiment/base/metric.js';
import type { Point, ResultRow } from '../../../lib/experiment/base/run.js';
import { failedRow, METRICS, rowOf } from './rows.js';

const planners = ['round_robin', 'eplb', 'eplb_stable'];
const redundant = [0, 2, 4];

const info = (unit: string, better: MetricInfo['better'], kind: MetricInfo['kind'], what: string): MetricInfo => ({
  unit,
  better,
  kind,
  what,
});

/** What is measured: more than a table's width. */
export const SAMPLE_METRICS: Readonly<Record<string, MetricInfo>> = {
  ...METRICS,
  balancedness: info('', 'higher', 'count', 'of steps: Σ mean rank load / Σ highest rank load'),
  ttft_p50_ms: info('ms', 'lower', 'time', 'median of the time from a request to its first token'),
  peak_rss_bytes: info('B', 'lower', 'time', 'most memory that a rank took'),
  moved_experts: info('', 'lower', 'count', 'experts that came to other ranks'),
  rounding_error: info('', 'lower', 'count', 'largest |Δlogit| against f32'),
  steps: info('steps', null, 'count', 'steps of the engine'),
};

/** As its file says. */
export const SAMPLE: Experiment = {
  name: 'balance',
  description:
    'How even is the load of four ranks with planners of placements, and what does it bring?\n\nThe router of `moe-7m` is skewed; replicas of hot experts take load from the busiest rank.',
  text: 'name: balance\nbase: configs/demo.yaml\nmeasure: generate\nsweep:\n  grid:\n    experts.planner: [round_robin, eplb, eplb_stable]\n    experts.num_redundant_experts: [0, 2, 4]\nrepeats: 3\nseeds: [1, 2]\n',
  axes: [
    { key: 'experts.planner', values: planners },
    { key: 'experts.num_redundant_experts', values: redundant },
  ],
  metrics: SAMPLE_METRICS,
  baseline: { 'experts.num_redundant_experts': 0 },
  plots: [
    {
      ...{ title: 'Balance by redundancy', mark: 'auto', x: 'experts.num_redundant_experts', y: 'balancedness' },
      ...{ color: 'experts.planner', facet: null, scale: { x: 'linear', y: 'linear' }, error: 'ci', ratio: false },
    },
    {
      ...{ title: null, mark: 'bar', x: 'experts.planner', y: 'tokens_per_s' },
      ...{
        color: 'experts.num_redundant_experts',
        facet: null,
        scale: { x: 'linear', y: 'linear' },
        error: 'ci',
        ratio: true,
      },
    },
  ],
  timeoutMs: 300_000,
  parallel: 1,
};

/** A number from −1 to 1 that follows from its arguments. */
const noise = (...parts: number[]): number => {
  const mixed = Math.sin(parts.reduce((sum, part, i) => sum + (part + 1.7) * (12.9898 + 78.233 * i), 0)) * 43758.5453;
  return 2 * (mixed - Math.floor(mixed)) - 1;
};

/** Two seeds, three repeats. */
export const sampleRows = (): readonly ResultRow[] =>
  [1, 2].flatMap((seed, s) =>
    [0, 1, 2].flatMap((repeat) =>
      planners.flatMap((planner, p) => redundant.map((count, r) => sampleRow(planner, p, count, r, seed, s, repeat))),
    ),
  );

function sampleRow(
  ...[planner, p, count, r, seed, s, repeat]: [string, number, number, number, number, number, number]
): ResultRow {
  const point: Point = { 'experts.planner': planner, 'experts.num_redundant_experts': count };
  const round = 3 * s + repeat;
  const other: Partial<ResultRow> = {
    ...{ id: `${p}${r}${seed}${repeat}`.padStart(16, '0'), index: 9 * round + 3 * p + r, round, seed, repeat },
    config: {
      model: 'models/moe-7m',
      engine: { seed },
      parallel: { ranks: 4 },
      experts: { planner, num_redundant_experts: count },
    } as never,
    workload: { prompts: ['Once upon a time'] },
    measure: { kind: 'generate', routing: true },
    started_at: new Date(Date.UTC(2026, 0, 2, 3, 4, 5) + 5000 * (9 * round + 3 * p + r)).toISOString(),
    ...{ duration_ms: 4800 + 200 * noise(p, r, round), overhead_ms: 410 + 20 * noise(r, p, round) },
    machine: { cpu: 'AMD EPYC 7B13', cores: 2, memory: '8 GiB' },
    versions: { expertwire: '0.1.0', node: 'v22.11.0', v8: '12.4' },
  };
  if (planner === 'eplb' && count === 4 && round === 4) return failedRow(point, other);
  const balance = 0.62 + 0.05 * p + (p === 0 ? 0.01 : 0.06) * r + 0.004 * noise(p, r, seed);
  const drift = 1 - 0.08 * round;
  return rowOf(
    point,
    {
      tokens_per_s: 260 * drift * (0.5 + balance) * (1 + 0.015 * noise(p, r, round, 7)),
      bytes_per_token: 20_480 + 512 * p,
      tokens_sha256: `${seed}abcdef`,
      balancedness: balance,
      ttft_p50_ms: 41 + 3 * noise(p, r, round, 9),
      peak_rss_bytes: 141e6 + 9e6 * r + 2e5 * noise(p, r, round, 3),
      moved_experts: p === 0 ? null : 12 * r,
      rounding_error: 1e-6 * (3 + noise(p, r, seed)),
      steps: 64,
    },
    other,
  );
}
