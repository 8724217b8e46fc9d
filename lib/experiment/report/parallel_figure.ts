/** A picture of points in many respects at once: a line for each point, an axis for each metric, better upwards. Pure. */
import type { PlotSpec } from '../../pictures/spec.js';
import { CATEGORIES, DASHES, PAGE_WIDTH, QUIET, themed, titled } from '../../pictures/theme.js';
import type { FigureBlock } from '../document/document.js';
import { metricTitle } from '../summary/names.js';
import type { PointSummary } from '../summary/summary.js';
import { numberText, shownUnit } from './figures_text.js';
import { pointTitle } from './point_columns.js';
import type { NamedMetric, Results } from './results.js';

/** Of its files; no plot of an experiment has it. */
export const PARALLEL_NAME = 'scorecard';

const HEIGHT = 210;
const CAPTION =
  'Each axis goes from the worst mean of all points, at the bottom, to the best. Full lines with large dots: on the Pareto front; broken lines: not on it.';

/** Null: there are fewer than two points or metrics that differ. */
export function parallelFigure(
  results: Results,
  metrics: readonly NamedMetric[],
  isOnFront: readonly boolean[],
): FigureBlock | null {
  const axes = metrics.flatMap((metric) => axisOf(results, metric) ?? []);
  if (axes.length < 2 || results.points.length < 2) return null;
  const title = 'Effect, performance and cost';
  return {
    ...{ kind: 'figure', name: PARALLEL_NAME, title, caption: CAPTION, isWide: true },
    spec: themed({
      title: titled(title, CAPTION, PAGE_WIDTH - 10),
      width: PAGE_WIDTH - 90,
      height: HEIGHT,
      layer: layersOf(results, axes, isOnFront),
    }),
  };
}

interface ParallelAxis {
  readonly name: string;
  readonly title: string;
  readonly best: number;
  readonly worst: number;
  readonly textOf: (value: number) => string;
}

/** Null: all are equal, or there is nothing better. */
function axisOf({ points }: Results, [name, { unit, better }]: NamedMetric): ParallelAxis | null {
  const values = points.flatMap(({ metrics }) => metrics[name]?.mean ?? []);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (values.length < 2 || low === high || better === null) return null;
  const [best, worst] = better === 'higher' ? [high, low] : [low, high];
  const shown = shownUnit(unit, values);
  const title = metricTitle(name, unit);
  return {
    name,
    title: shown.unit === '' ? title : `${title} (${shown.unit})`,
    best,
    worst,
    textOf: (value) => numberText(value / shown.divisor),
  };
}

function layersOf(results: Results, axes: readonly ParallelAxis[], isOnFront: readonly boolean[]): readonly PlotSpec[] {
  const names = results.points.map((point) => pointTitle(results, point));
  const values = results.points.flatMap((point, p) =>
    axes.flatMap((axis) => markOf(point, axis, names[p]!, isOnFront[p]!) ?? []),
  );
  const ends = axes.flatMap(({ title, best, worst, textOf }) => [
    { axis: title, height: 1, dy: -9, text: textOf(best) },
    { axis: title, height: 0, dy: 11, text: textOf(worst) },
  ]);
  const x = {
    field: 'axis',
    type: 'nominal',
    sort: null,
    title: null,
    axis: {
      labelAngle: 0,
      labelLimit: 90,
      labelOverlap: false,
      labelFontSize: 9,
      labelPadding: 18,
      domain: false,
      ticks: false,
      grid: true,
      labelExpr: "split(datum.label, ' ')",
    },
  };
  const y = { field: 'height', type: 'quantitative', axis: null, scale: { domain: [-0.02, 1.02], nice: false } };
  const range = names.map((_, i) => CATEGORIES[i % CATEGORIES.length]);
  const legend = {
    orient: 'bottom',
    columns: names.some((name) => name.length > 30) ? 2 : 4,
    labelLimit: 300,
    title: null,
  };
  const color = { field: 'point', type: 'nominal', sort: null, scale: { domain: names, range }, legend };
  const dash = {
    field: 'front',
    type: 'nominal',
    scale: { domain: [true, false], range: [DASHES[0], DASHES[1]] },
    legend: null,
  };
  return [
    {
      data: { values },
      mark: { type: 'line', strokeWidth: 1.8, aria: false },
      encoding: { x, y, color, strokeDash: dash, detail: { field: 'point' } },
    },
    {
      data: { values },
      mark: { type: 'point', filled: true, opacity: 1 },
      encoding: {
        x,
        y,
        color,
        size: { field: 'front', type: 'nominal', scale: { domain: [true, false], range: [60, 24] }, legend: null },
        description: { field: 'say' },
      },
    },
    ...[-9, 11].map((dy) => ({
      data: { values: ends.filter((end) => end.dy === dy) },
      mark: { type: 'text', dy, fontSize: 9, color: QUIET, aria: false },
      encoding: { x, y, text: { field: 'text' } },
    })),
  ];
}

function markOf({ metrics }: PointSummary, axis: ParallelAxis, point: string, front: boolean): object | null {
  const value = metrics[axis.name]?.mean;
  if (value === undefined) return null;
  const height = (value - axis.worst) / (axis.best - axis.worst);
  return {
    axis: axis.title,
    point,
    front,
    height,
    say: `point: ${point}; ${axis.title}: ${axis.textOf(value)}${front ? '; Pareto front: yes' : ''}`,
  };
}
