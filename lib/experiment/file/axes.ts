/** What tables and pictures of an experiment have: axes, metrics, and pictures that name them. Pure. */
import { shown } from '../../../base/foreign_text.js';
import type { Axis, PlotSettings } from '../base/experiment.js';
import type { MetricInfo } from '../base/metric.js';
import type { Json, Point } from '../base/run.js';
import { baselineOf } from '../summary/pairs.js';
import { errorAt, nearestOf, type OriginOf } from './checked_part.js';
import type { ExperimentFile } from './file_schema.js';
import { canonicalJson } from './run_id.js';

type Metrics = Readonly<Record<string, MetricInfo>>;

/** Fields of rows beside axes and metrics. */
const ROW_FIELDS = ['seed', 'repeat', 'round'] as const;

/** Each key with its values, in the order in which points come to them. */
export function axesOf(keys: readonly string[], points: readonly Point[]): readonly Axis[] {
  return keys.map((key) => {
    const values = new Map(points.map((point) => [canonicalJson(point[key]), point[key]!]));
    return { key, values: [...values.values()] };
  });
}

/** @throws ConfigError for a key that isn't swept, a value that isn't among its own, or points that have nothing to be compared with */
export function checkBaseline(
  baseline: ExperimentFile['baseline'],
  axes: readonly Axis[],
  points: readonly Point[],
  originOf: OriginOf,
): void {
  if (baseline === null) return;
  for (const [key, value] of Object.entries(baseline)) {
    const place = ['baseline', key];
    const axis = axes.find((each) => each.key === key);
    if (axis === undefined) {
      const keys = axes.map((each) => each.key);
      const advice = nearestOf(key, keys, 'sweep it, or leave it out');
      const text = `"baseline" has ${key}, which isn't swept; ${advice} (swept are ${keys.join(', ') || 'none'})`;
      throw errorAt(originOf, place, 'UNKNOWN_KEY', text);
    }
    if (axis.values.some((each) => canonicalJson(each) === canonicalJson(value))) continue;
    const values = axis.values.map((each) => shown(each)).join(', ');
    const text = `"baseline" has ${key} ${shown(value)}, and no point has that; give one of ${values}`;
    throw errorAt(originOf, place, 'INVALID_VALUE', text);
  }
  const alone = points.find((point) => baselineOf(point, points, baseline) === null);
  if (alone === undefined) return;
  const text = `"baseline" leaves open what the point ${shown(alone)} is compared with; give more of its keys`;
  throw errorAt(originOf, ['baseline'], 'INVALID_VALUE', text);
}

/** Pictures with all that the file leaves out. @throws ConfigError for fields that no row has, and scales that can't show their values */
export function checkedPlots(
  file: Pick<ExperimentFile, 'plots' | 'baseline'>,
  axes: readonly Axis[],
  metrics: Metrics,
  originOf: OriginOf,
): readonly PlotSettings[] {
  return file.plots.map((plot, i) => {
    const at: OriginOf = (path) => originOf(['plots', i, ...path]);
    const x = plot.x ?? usualX(axes);
    if (x === null) throw errorAt(at, [], 'MISSING_KEY', '"x" is missing, and nothing is swept; give a field');
    const isHeat = plot.mark === 'heat';
    const numbers = Object.keys(metrics).filter((name) => metrics[name]!.kind !== 'text');
    const keys = [...axes.map(({ key }) => key), ...ROW_FIELDS];
    const check = (name: string, field: string | null, allowed: readonly string[]): void =>
      checkField({ name, field, allowed, metrics }, at);
    check('x', x, isHeat ? keys : [...keys, ...numbers]);
    check('y', plot.y, isHeat ? keys : numbers);
    if (isHeat && plot.color === null) throw errorAt(at, [], 'MISSING_KEY', 'a heat shows "color"; give it a metric');
    check('color', plot.color, isHeat ? numbers : keys);
    check('facet', plot.facet, keys);
    if (plot.ratio && file.baseline === null) {
      throw errorAt(at, ['ratio'], 'INVALID_VALUE', '"ratio" needs what is compared with; give the file a "baseline"');
    }
    for (const [name, field] of [
      ['x', x],
      ['y', plot.y],
    ] as const)
      checkScale(name, field, plot.scale[name], axes, at);
    return { ...plot, x };
  });
}

/** The first that is of numbers and has several, else the first; null: there is none. */
function usualX(axes: readonly Axis[]): string | null {
  const ofNumbers = axes.find(({ values }) => values.length > 1 && values.every((each) => typeof each === 'number'));
  return (ofNumbers ?? axes[0])?.key ?? null;
}

function checkField(
  {
    name,
    field,
    allowed,
    metrics,
  }: {
    readonly name: string;
    readonly field: string | null;
    readonly allowed: readonly string[];
    readonly metrics: Metrics;
  },
  at: OriginOf,
): void {
  if (field === null || allowed.includes(field)) return;
  const isText = metrics[field]?.kind === 'text';
  const advice = nearestOf(field, allowed, 'give one of those that there are');
  const what = isText ? 'which is a text and no number' : 'which there isn’t here';
  throw errorAt(
    at,
    [name],
    'INVALID_VALUE',
    `"${name}" is ${shown(field)}, ${what}; ${advice} (${allowed.join(', ')})`,
  );
}

/** A logarithm wants numbers over 0. */
function checkScale(
  name: 'x' | 'y',
  field: string,
  scale: 'linear' | 'log',
  axes: readonly Axis[],
  at: OriginOf,
): void {
  const values = axes.find(({ key }) => key === field)?.values ?? [];
  const wrong = values.find((value: Json) => typeof value !== 'number' || value <= 0);
  if (scale === 'linear' || wrong === undefined) return;
  const text = `"scale.${name}" is log, and ${field} has the value ${shown(wrong)}; set it to linear`;
  throw errorAt(at, ['scale', name], 'INVALID_VALUE', text);
}
