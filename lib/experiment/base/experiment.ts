/** An experiment as its file says, checked: plain data, which the folder of results keeps as `experiment.json`. */
import type { MetricInfo } from './metric.js';
import type { Json, PlannedRun } from './run.js';
import type { RunnerSettings } from './runner.js';

/** How a sweep's key is written in tables and pictures. */
export interface Axis {
  /** As in points: 'parallel.ranks'. */
  readonly key: string;
  /** Its values, in the order of the file. */
  readonly values: readonly Json[];
}

/** One picture of results. Fields are keys of axes, names of metrics, 'seed', 'repeat' and 'round'. */
export interface PlotSettings {
  /** Null: made from the rest. */
  readonly title: string | null;
  /** auto: lines over numbers, bars over names. */
  readonly mark: 'auto' | 'line' | 'bar' | 'point' | 'box' | 'heat';
  readonly x: string;
  /** heat: the field of rows; otherwise a metric. */
  readonly y: string;
  /** heat: the metric; otherwise a field or null. */
  readonly color: string | null;
  /** A field: a picture for each of its values, beside each other, with the same scales. */
  readonly facet: string | null;
  readonly scale: { readonly x: 'linear' | 'log'; readonly y: 'linear' | 'log' };
  /** ci: the mean's 95 % confidence interval; range: lowest to highest. */
  readonly error: 'ci' | 'stdev' | 'range' | 'none';
  /** y as a multiple of the baseline's of the same round. */
  readonly ratio: boolean;
}

/** What an experiment is. */
export interface Experiment {
  readonly name: string;
  /** Of a report; may be of several paragraphs. */
  readonly description: string;
  /** As the file has it. */
  readonly text: string;
  readonly axes: readonly Axis[];
  readonly metrics: Readonly<Record<string, MetricInfo>>;
  /**
   * Keys of the sweep with the values of what others are compared with. A point's baseline is the point with these values and otherwise its own; null: nothing
   * is compared.
   */
  readonly baseline: Readonly<Record<string, Json>> | null;
  readonly plots: readonly PlotSettings[];
  readonly timeoutMs: number;
  /** Runs at a time. */
  readonly parallel: number;
}

/** An experiment with its runs, in their order, and where they run. */
export interface ExperimentPlan {
  readonly experiment: Experiment;
  readonly runs: readonly PlannedRun[];
  readonly runner: RunnerSettings;
}
