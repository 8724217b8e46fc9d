/** What a picture of a sweep may show along an axis, as a colour or side by side. Pure. */
import type { Axis } from '../../experiment/base/experiment.js';
import type { MetricInfo } from '../../experiment/base/metric.js';
import type { ComparedRow } from '../../experiment/summary/summarize.js';
import { axisLabel, metricLabel, valueText } from './labels.js';

/** What a picture is made of. */
export interface Sweep {
  readonly axes: readonly Axis[];
  readonly metrics: Readonly<Record<string, MetricInfo>>;
  /** Those that came to a result. */
  readonly rows: readonly ComparedRow[];
}

/** A field with what a picture needs to know of it. */
export interface Field {
  /** Keys of axes, names of metrics, 'seed', 'repeat', 'round'. */
  readonly name: string;
  readonly title: string;
  readonly isMetric: boolean;
  /** Of numbers alone, two at least: drawn to scale. */
  readonly isNumeric: boolean;
  /** In the order of the file; empty for metrics. */
  readonly values: readonly (number | string)[];
  /** Null: the row has none. */
  readonly of: (row: ComparedRow) => number | string | null;
}

/** By its name; a metric that no declaration has is one without a unit. */
export function fieldOf(name: string, { axes, metrics, rows }: Sweep): Field {
  const axis = axes.find(({ key }) => key === name);
  if (axis !== undefined) return axisField(axis, axes);
  if (name === 'seed' || name === 'repeat' || name === 'round') {
    const values = [...new Set(rows.map((row) => row[name]))].sort((a, b) => a - b);
    return { name, title: name, isMetric: false, isNumeric: true, values, of: (row) => row[name] };
  }
  const title = metricLabel(name, metrics[name] ?? { unit: '' });
  return { name, title, isMetric: true, isNumeric: true, values: [], of: (row) => numberIn(row.metrics, name) };
}

function axisField({ key, values }: Axis, axes: readonly Axis[]): Field {
  const isNumeric = values.length > 1 && values.every((value) => typeof value === 'number');
  const of = (row: ComparedRow): number | string => {
    const value = row.point[key];
    return isNumeric && typeof value === 'number' ? value : valueText(value);
  };
  const shown = isNumeric ? values : values.map(valueText);
  return { name: key, title: axisLabel(key, axes), isMetric: false, isNumeric, values: shown, of };
}

/** A measured number; null: none. */
export function numberIn(metrics: Readonly<Record<string, unknown>>, name: string): number | null {
  const value = metrics[name];
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}
