/** From the rows of a sweep to what a picture shows: a mark for each group of runs. Pure. Why: docs/decisions/pictures.md#a-mark-says-what-it-stands-for */
import type { PlotSettings } from '../../experiment/base/experiment.js';
import { drawnAnew, ratioSpreadOf, spreadOf } from '../../experiment/summary/spread.js';
import type { ComparedRow } from '../../experiment/summary/summarize.js';
import type { Spread } from '../../experiment/summary/summary.js';
import { figure } from '../figure.js';
import { fieldOf, numberIn, type Field, type Sweep } from './fields.js';
import { axisLabel, valueText } from './labels.js';

/** The fields of a picture, looked up. */
export interface PlotFields {
  readonly x: Field;
  /** What is measured: of a heat map, its colour. */
  readonly value: Field;
  /** The rows of a heat map. */
  readonly row: Field | null;
  readonly color: Field | null;
  readonly facet: Field | null;
}

/** One mark: a point, a bar, a cell. */
export interface PlotMark {
  readonly x: number | string;
  readonly row: number | string | null;
  readonly color: number | string | null;
  readonly facet: string | null;
  readonly value: number;
  /** Ends of the error bar; null: none. */
  readonly low: number | null;
  readonly high: number | null;
  /** Measurements behind it. */
  readonly n: number;
  /** For readers who point at it, and for those who listen: 'ranks: 2; tokens/s: 123.4; runs: 3'. */
  readonly say: string;
}

/** By the settings; `y` of a heat map is a field, and its `color` the metric. */
export function plotFields(plot: PlotSettings, sweep: Sweep): PlotFields {
  const isHeat = plot.mark === 'heat';
  const optional = (name: string | null): Field | null => (name === null ? null : fieldOf(name, sweep));
  return {
    x: fieldOf(plot.x, sweep),
    value: fieldOf(isHeat ? plot.color! : plot.y, sweep),
    row: isHeat ? fieldOf(plot.y, sweep) : null,
    color: isHeat ? null : optional(plot.color),
    facet: optional(plot.facet),
  };
}

/** A mark for each combination of what the picture shows; with a metric along x, for each point of the sweep. */
export const plotMarks = (plot: PlotSettings, fields: PlotFields, sweep: Sweep): PlotMark[] =>
  rowsOfMarks(fields, sweep).flatMap((rows) => markOf(plot, fields, sweep, rows) ?? []);

/** What lies behind each. */
export function rowsOfMarks(fields: PlotFields, sweep: Sweep): readonly (readonly ComparedRow[])[] {
  const shown = [fields.x, fields.row, fields.color, fields.facet].filter((field) => field !== null);
  const groups = new Map<string, ComparedRow[]>();
  for (const row of sweep.rows) {
    const places = shown.map((field) => (field.isMetric ? row.point : field.of(row)));
    const key = JSON.stringify(places);
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups.values()];
}

function markOf(plot: PlotSettings, fields: PlotFields, sweep: Sweep, rows: readonly ComparedRow[]): PlotMark | null {
  if (plot.ratio && rows.some(({ noRatios }) => noRatios.includes(fields.value.name))) return null; // the mean of the rest would be another
  const spread = spreadIn(rows, fields.value, sweep, plot.ratio);
  const place = (field: Field | null): number | string | null => {
    if (field === null) return null;
    return field.isMetric ? (spreadIn(rows, field, sweep, false)?.mean ?? null) : field.of(rows[0]!);
  };
  const x = place(fields.x);
  if (spread === null || x === null) return null;
  const { mean: value, n } = spread;
  const [low, high] = endsOf(spread, plot.error);
  const places = {
    x,
    row: place(fields.row),
    color: place(fields.color),
    facet: facetText(fields.facet, place(fields.facet)),
  };
  return { ...places, value, low, high, n, say: said(plot, fields, sweep, rows, places, { value, low, high, n }) };
}

/** What stands over a picture of several: 'ranks: 2'. */
export const facetText = (facet: Field | null, value: number | string | null): string | null =>
  facet === null || value === null ? null : `${facet.title}: ${value}`;

/** What a count is for one seed and point is the same in each run, and counts once. Null without a number. */
export function spreadIn(
  rows: readonly ComparedRow[],
  field: Field,
  { metrics }: Sweep,
  isRatio: boolean,
): Spread | null {
  const numbers = rows.map((row) => {
    const value = isRatio ? (row.ratios[field.name] ?? null) : numberIn(row.metrics, field.name);
    return { key: JSON.stringify([row.seed, row.point]), value };
  });
  const values = drawnAnew(numbers, metrics[field.name]?.kind ?? 'time');
  return isRatio ? ratioSpreadOf(values) : spreadOf(values);
}

function endsOf(
  { mean, stdev, ci, min, max, n }: Spread,
  error: PlotSettings['error'],
): [number | null, number | null] {
  if (n === 1 || error === 'none') return [null, null];
  if (error === 'range') return [min, max];
  return error === 'ci' ? [ci![0], ci![1]] : [mean - stdev, mean + stdev];
}

const ERRORS = { ci: '95 % interval', stdev: 'mean ± standard deviation', range: 'lowest to highest', none: '' };

function said(
  plot: PlotSettings,
  { x, row, color, facet, value }: PlotFields,
  { axes }: Sweep,
  rows: readonly ComparedRow[],
  places: Pick<PlotMark, 'x' | 'row' | 'color' | 'facet'>,
  { value: mean, low, high, n }: Pick<PlotMark, 'value' | 'low' | 'high' | 'n'>,
): string {
  const text = (place: number | string): string => (typeof place === 'number' ? figure(place) : place);
  const shown = (
    [
      [x, places.x],
      [row, places.row],
      [color, places.color],
    ] as const
  ).flatMap(([field, place]) => (field === null || place === null ? [] : [`${field.title}: ${text(place)}`]));
  const names = new Set([x.name, row?.name, color?.name, facet?.name]);
  const others = x.isMetric ? axes.filter(({ key, values }) => !names.has(key) && values.length > 1) : [];
  return [
    ...shown,
    ...(places.facet === null ? [] : [places.facet]),
    ...others.map(({ key }) => `${axisLabel(key, axes)}: ${valueText(rows[0]!.point[key])}`),
    `${value.title}${plot.ratio ? ' / baseline' : ''}: ${figure(mean)}`,
    ...(low === null || high === null ? [] : [`${ERRORS[plot.error]}: ${figure(low)} to ${figure(high)}`]),
    `measurements: ${n}`,
  ].join('; ');
}
