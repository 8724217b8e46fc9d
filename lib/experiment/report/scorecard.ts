/** Effect, performance and cost of configurations side by side. Pure. Why: docs/decisions/experiments.md#a-front-not-a-score */
import type { Corner } from '../base/metric.js';
import type { Block, Cell, Column, TableBlock } from '../document/document.js';
import { metricTitle } from '../summary/names.js';
import type { Spread } from '../summary/summary.js';
import { meanText, shownUnit } from './figures_text.js';
import { parallelFigure } from './parallel_figure.js';
import { paretoFront, type Respect } from './pareto.js';
import { pointCells, pointColumns } from './point_columns.js';
import { measuredMetrics, type NamedMetric, type Results } from './results.js';
import { meanTables } from './tables.js';

const CORNERS: readonly Corner[] = ['effect', 'performance', 'cost'];

/** Whether metrics say which corner they stand in. */
export const isScorecard = ({ experiment }: Results): boolean =>
  Object.values(experiment.metrics).some(({ corner }) => corner !== undefined);

/** The page: who is on the front, a picture of all corners, and a table for each. */
export function scorecard(results: Results): readonly Block[] {
  const measured = measuredMetrics(results);
  const corners = CORNERS.map((corner) => ({ corner, metrics: measured.filter(([, info]) => info.corner === corner) }));
  const deciding = corners.flatMap(({ metrics }) => metrics.filter(([, { better }]) => better !== null).slice(0, 1));
  const isOnFront = frontOf(results, deciding);
  const shown = corners.flatMap(({ corner, metrics }) => metrics.filter(([name]) => PICTURED[corner].includes(name)));
  const figure = parallelFigure(results, shown, isOnFront);
  return [
    { kind: 'heading', text: 'Scorecard' },
    frontTable(results, deciding, isOnFront),
    ...(figure === null ? [] : [figure]),
    ...corners.flatMap(({ corner, metrics }) =>
      meanTables(results, metrics).map((table) => ({ ...table, caption: `${TITLES[corner]}. ${table.caption}` })),
    ),
  ];
}

const TITLES: Readonly<Record<Corner, string>> = {
  effect: 'Effect: how good answers are',
  performance: 'Performance: how soon they come',
  cost: 'Cost: what they take',
};

/** What stands in the picture, of each corner. */
const PICTURED: Readonly<Record<Corner, readonly string[]>> = {
  effect: ['perplexity', 'kl_nats', 'top1_agreement'],
  performance: ['ttft_p50_ms', 'itl_p99_ms', 'goodput_per_s', 'kill_stall_ms'],
  cost: ['bytes_per_token', 'resident_bytes', 'core_s_per_mtoken', 'cost_per_mtoken'],
};

const noiseText = ({ points }: Results, metrics: readonly NamedMetric[]): string =>
  metrics.some(([name, { kind }]) => kind === 'time' && points.some((point) => point.metrics[name]?.n === 1))
    ? ' Of one run each there is no interval: noise alone can decide who is on it.'
    : '';

function frontOf({ points }: Results, metrics: readonly NamedMetric[]): readonly boolean[] {
  const values = points.map((point) => metrics.map(([name]) => respectOf(name, point.metrics[name])));
  return paretoFront(
    values,
    metrics.map(([, { better }]) => better ?? 'higher'),
  );
}

/** Below, a divergence is the rounding of f32 alone. */
const LEAST_KL = 1e-9;

function respectOf(name: string, spread: Spread | undefined): Respect {
  if (spread === undefined) return null;
  const [low, high] = spread.ci ?? [spread.mean, spread.mean];
  return name === 'kl_nats' ? [Math.max(low, LEAST_KL), Math.max(high, LEAST_KL)] : [low, high];
}

function frontTable(results: Results, metrics: readonly NamedMetric[], isOnFront: readonly boolean[]): TableBlock {
  const units = metrics.map(([name, { unit }]) =>
    shownUnit(
      unit,
      results.points.flatMap((point) => point.metrics[name]?.mean ?? []),
    ),
  );
  const column = ([name, { unit, better }]: NamedMetric, i: number): Column => ({
    title: `${metricTitle(name, unit)} ${better === 'higher' ? '↑' : '↓'}`,
    unit: units[i]!.unit,
    isFigure: true,
  });
  const front = (isFront: boolean): Cell => (isFront ? { text: '● on the front', tone: 'better' } : '');
  return {
    kind: 'table',
    caption:
      'The Pareto front: points beside which no other one is better in one of these and worse in none. ↑ higher is better, ↓ lower is better; ' +
      `intervals that overlap aren't told apart, nor divergences below ${LEAST_KL} nats.${noiseText(results, metrics)}`,
    columns: [...pointColumns(results), ...metrics.map(column), { title: 'Pareto front', unit: '', isFigure: false }],
    rows: results.points.map((point, p) => [
      ...pointCells(results, point),
      ...metrics.map(([name], i): Cell => {
        const spread = point.metrics[name];
        return spread === undefined ? { text: '–', tone: 'quiet' } : meanText(spread, units[i]!.divisor);
      }),
      front(isOnFront[p]!),
    ]),
  };
}
