/** From rows of results to a line for each point. Pure. Why: docs/decisions/experiments.md#an-interval-says-what-was-drawn-anew */
import type { Axis, Experiment } from '../base/experiment.js';
import type { MetricInfo } from '../base/metric.js';
import type { Point, ResultRow } from '../base/run.js';
import { baselineOf, comparePoints, pointKey } from './pairs.js';
import { comparison, numberOf, ratiosOfRow } from './ratios.js';
import { drawnAnew, spreadOf } from './spread.js';
import type { PointSummary, Spread } from './summary.js';

type Metric = readonly [name: string, info: MetricInfo];

/** All rows of a point, the last one of each run, in the order of seeds and repeats. */
export interface PointRows {
  readonly point: Point;
  readonly rows: readonly ResultRow[];
}

/** Of a run that was done again, the last row alone. */
export const lastRows = (rows: readonly ResultRow[]): readonly ResultRow[] => [
  ...new Map(rows.map((row) => [row.id, row])).values(),
];

/** Points in the order of the file, which indexes don't have where a sweep grew. */
export function pointsOf(rows: readonly ResultRow[], axes: readonly Axis[]): readonly PointRows[] {
  const byPoint = new Map<string, ResultRow[]>();
  for (const row of [...lastRows(rows)].sort((a, b) => a.index - b.index)) {
    const key = pointKey(row.point);
    byPoint.set(key, [...(byPoint.get(key) ?? []), row]);
  }
  const inOrder = (a: ResultRow, b: ResultRow): number => a.seed - b.seed || a.repeat - b.repeat;
  const points = [...byPoint.values()].map((each) => ({ point: each[0]!.point, rows: [...each].sort(inOrder) }));
  return points.sort((a, b) => comparePoints(a.point, b.point, axes));
}

/** A line for each point that has rows, in the order of the file. */
export function summarize(
  { axes, metrics, baseline }: Pick<Experiment, 'axes' | 'metrics' | 'baseline'>,
  rows: readonly ResultRow[],
): readonly PointSummary[] {
  const points = pointsOf(rows, axes);
  const rowsOf = new Map(points.map(({ point, rows: own }) => [pointKey(point), own]));
  const all = points.map(({ point }) => point);
  return points.map(({ point, rows: own }) => {
    const other = baselineOf(point, all, baseline);
    const isBaseline = other !== null && pointKey(other) === pointKey(point);
    const others = other === null || isBaseline ? [] : rowsOf.get(pointKey(other))!;
    return { ...summaryOf(point, own, metrics), ...comparison(own, others, metrics), isBaseline };
  });
}

function summaryOf(
  point: Point,
  rows: readonly ResultRow[],
  metrics: Experiment['metrics'],
): Omit<PointSummary, 'ratios' | 'noRatios' | 'isBaseline'> {
  const ok = rows.filter(({ status }) => status === 'ok');
  const error = rows.find(({ status }) => status !== 'ok')?.error;
  const numbers = Object.entries(metrics).filter(([, { kind }]) => kind !== 'text');
  const texts = Object.entries(metrics).filter(([, { kind }]) => kind === 'text');
  return {
    point,
    numOk: ok.length,
    numFailed: rows.length - ok.length,
    error: error === undefined || error === null ? null : error.message,
    metrics: spreads(numbers, (metric) => spreadOf(valuesOf(ok, metric))),
    texts: Object.fromEntries(texts.map(([name]) => [name, agreedTexts(ok, name)])),
  };
}

/** Of each metric that has one. */
const spreads = (metrics: readonly Metric[], spread: (metric: Metric) => Spread | null): Record<string, Spread> =>
  Object.fromEntries(
    metrics.flatMap((metric) => {
      const found = spread(metric);
      return found === null ? [] : [[metric[0], found] as const];
    }),
  );

const valuesOf = (rows: readonly ResultRow[], [name, { kind }]: Metric): readonly number[] =>
  drawnAnew(
    rows.map((row) => ({ key: String(row.seed), value: numberOf(row, name) })),
    kind,
  );

/** By seed: what all its runs say, or null. */
function agreedTexts(rows: readonly ResultRow[], name: string): Record<string, string | null> {
  const bySeed: Record<string, string | null> = {};
  for (const { seed, metrics } of rows) {
    const text = metrics[name];
    if (typeof text !== 'string') continue;
    bySeed[seed] = bySeed[seed] === undefined || bySeed[seed] === text ? text : null;
  }
  return bySeed;
}

/** A row that came to a result, with its ratios to its partner's. */
export interface ComparedRow extends Pick<ResultRow, 'point' | 'round' | 'seed' | 'repeat' | 'metrics'> {
  /** By metric; empty where the baseline's own run is missing, and for none. A metric is absent where a pair of the point has no ratio. */
  readonly ratios: Readonly<Record<string, number>>;
  /** Those metrics. */
  readonly noRatios: readonly string[];
}

/** All rows with a result, in the order of points, seeds and repeats; a baseline's own ratios are 1. */
export function comparedRows(
  { axes, metrics, baseline }: Pick<Experiment, 'axes' | 'metrics' | 'baseline'>,
  rows: readonly ResultRow[],
): readonly ComparedRow[] {
  const points = pointsOf(rows, axes);
  const all = points.map(({ point }) => point);
  return points.flatMap(({ point, rows: own }) => {
    const other = baselineOf(point, all, baseline);
    const others = points.find((each) => other !== null && pointKey(each.point) === pointKey(other))?.rows ?? [];
    const { ratios, noRatios } = comparison(own, others, metrics);
    const [names, none] = [Object.keys(ratios), Object.keys(noRatios)];
    return own
      .filter(({ status }) => status === 'ok')
      .map((row) => ({ ...row, ratios: ratiosOfRow(row, others, names), noRatios: none }));
  });
}
