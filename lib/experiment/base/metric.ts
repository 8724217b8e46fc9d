/**
 * What is measured: a number with a unit, or a text that names what was computed.
 * Why: docs/decisions/experiments.md#counts-and-times-are-told-apart
 */

/** What a reader has to know of a metric, and what makes one better than another. */
export interface MetricInfo {
  /** 'tokens/s', 'ms', 'B/token'; '' for a ratio or a count of nothing in particular. */
  readonly unit: string;
  /** Null: neither. */
  readonly better: 'higher' | 'lower' | null;
  /**
   * count: follows from the configuration, the workload and the seed alone, so that a run that is done again has the same; time: of this machine and
   * moment; text: as a count, but no number: a hash of tokens, for instance.
   */
  readonly kind: 'count' | 'time' | 'text';
  /** One line, with its formula. */
  readonly what: string;
  /** Of a scorecard: the corner of the triangle that it stands in; the first one of each corner that was measured decides who is on the Pareto front. */
  readonly corner?: Corner | undefined;
}

/** What of inference can't all be had at once: how good answers are, how soon they come, what they take. */
export type Corner = 'effect' | 'performance' | 'cost';

/** By name, in snake_case; null: nothing was measured. */
export type Metrics = Readonly<Record<string, number | string | null>>;
