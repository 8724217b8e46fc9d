/** Effect, performance and cost of configurations side by side. Pure. Why: docs/decisions/experiments.md#a-front-not-a-score */
import { SCORECARD, SCORECARD_SIDES } from '../measures/scorecard.js';
import type { Block, Cell, Column, TableBlock } from '../document/document.js';
import { metricTitle } from '../summary/names.js';
import { meanText, shownUnit } from './figures_text.js';
import { parallelFigure } from './parallel_figure.js';
import { paretoFront } from './pareto.js';
import { pointCells, pointColumns } from './point_columns.js';
import { measuredMetrics, type NamedMetric, type Results } from './results.js';
import { meanTables } from './tables.js';

type Side = keyof typeof SCORECARD;
const SIDES: readonly Side[] = ['effect', 'performance', 'cost'];

/** Whether results are of this measure. */
export const isScorecard = ({ rows }: Results): boolean => rows[0]?.measure.kind === 'scorecard';

/** The page: who is on the front, a picture of all sides, and a table for each. */
export function scorecard(results: Results): readonly Block[] {
  const measured = measuredMetrics(results);
  const sides = SIDES.map((side) => ({
    side,
    metrics: measured.filter(([name]) => Object.hasOwn(SCORECARD[side], name)),
  }));
  const deciding = sides.flatMap(({ side, metrics }) => decidingOf(side, metrics));
  const isOnFront = frontOf(results, deciding);
  const shown = sides.flatMap(({ side, metrics }) => metrics.filter(([name]) => PICTURED[side].includes(name)));
  const figure = parallelFigure(results, shown, isOnFront);
  return [
    { kind: 'heading', text: 'Scorecard' },
    frontTable(results, deciding, isOnFront),
    ...(figure === null ? [] : [figure]),
    ...sides.flatMap(({ side, metrics }) =>
      meanTables(results, metrics).map((table) => ({ ...table, caption: `${TITLES[side]}. ${table.caption}` })),
    ),
  ];
}

const TITLES: Readonly<Record<Side, string>> = {
  effect: 'Effect: how good answers are',
  performance: 'Performance: how soon they come',
  cost: 'Cost: what they take',
};

/** What stands in the picture, of each side. */
const PICTURED: Readonly<Record<Side, readonly string[]>> = {
  effect: ['perplexity', 'kl_nats', 'top1_agreement'],
  performance: ['ttft_p50_ms', 'itl_p99_ms', 'goodput_per_s', 'kill_stall_ms'],
  cost: ['bytes_per_token', 'resident_bytes', 'core_s_per_mtoken', 'cost_per_mtoken'],
};

/** The metric of a side that the front goes by: its first one where that wasn't measured; none where nothing was. */
function decidingOf(side: Side, metrics: readonly NamedMetric[]): readonly NamedMetric[] {
  const named = metrics.find(([name]) => name === SCORECARD_SIDES[side]);
  const found = named ?? metrics.find(([, { better }]) => better !== null);
  return found === undefined ? [] : [found];
}

function frontOf({ points }: Results, metrics: readonly NamedMetric[]): readonly boolean[] {
  const values = points.map((point) => metrics.map(([name]) => point.metrics[name]?.mean ?? null));
  return paretoFront(
    values,
    metrics.map(([, { better }]) => better ?? 'higher'),
  );
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
      'The Pareto front: points that no other one equals or betters in all of these and betters in one. ↑ higher is better, ↓ lower is better; ' +
      'means are compared, so that points whose intervals overlap may change places.',
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
