/** Everything that a report is made of. */
import type { Experiment } from '../base/experiment.js';
import type { MetricInfo } from '../base/metric.js';
import type { ResultRow } from '../base/run.js';
import { summarize } from '../summary/summarize.js';
import type { PointSummary } from '../summary/summary.js';

/** Of a folder of results. */
export interface Results {
  readonly experiment: Experiment;
  /** Of each run the last one. */
  readonly rows: readonly ResultRow[];
  readonly points: readonly PointSummary[];
}

/** A metric with its name. */
export type NamedMetric = readonly [name: string, info: MetricInfo];

/** With the summary of rows. */
export const resultsOf = (experiment: Experiment, rows: readonly ResultRow[]): Results => ({
  experiment,
  rows,
  points: summarize(experiment, rows),
});

/** Numbers that at least one point has. */
export const measuredMetrics = ({ experiment, points }: Results): readonly NamedMetric[] =>
  Object.entries(experiment.metrics).filter(([name]) => points.some(({ metrics }) => metrics[name] !== undefined));

/** Metrics of a table without plots that would name them. */
const NUM_MAIN = 6;

/** Those that plots show; without plots the first that are better one way. */
export function mainMetrics(results: Results): readonly NamedMetric[] {
  const measured = measuredMetrics(results);
  const named = new Set(results.experiment.plots.flatMap(({ x, y, color }) => [y, color, x]));
  const shown = measured.filter(([name]) => named.has(name));
  return shown.length > 0 ? shown : measured.filter(([, { better }]) => better !== null).slice(0, NUM_MAIN);
}

/** How often a point was measured: the most runs of any, the seeds and repeats of all. */
export interface NumRuns {
  readonly numPoints: number;
  readonly numSeeds: number;
  readonly numRepeats: number;
}

/** Of all rows. */
export const numRuns = ({ points, rows }: Results): NumRuns => ({
  numPoints: points.length,
  numSeeds: new Set(rows.map(({ seed }) => seed)).size,
  numRepeats: new Set(rows.map(({ repeat }) => repeat)).size,
});
