/** What tables and pictures show of results: a line for each point. */
import type { Point } from '../base/run.js';

/** Several measurements of one thing. */
export interface Spread {
  /** Measured values. */
  readonly n: number;
  readonly mean: number;
  /** Of the sample; 0 for one value. */
  readonly stdev: number;
  /** 95 % confidence interval of the mean, by Student's t; null for one value. */
  readonly ci: readonly [low: number, high: number] | null;
  readonly min: number;
  readonly max: number;
}

/** Pairs of which not each has a ratio: one side is 0 (or below), or wasn't measured. */
export interface NoRatio {
  /** to_zero: each pair has 0 at the point and more at the baseline; from_zero: the other way round; both_zero: 0 and 0; some: pairs differ in that. */
  readonly kind: 'to_zero' | 'from_zero' | 'both_zero' | 'some';
  readonly numPairs: number;
  /** Of those, how many have one. */
  readonly numRatios: number;
}

/** All runs of a point. */
export interface PointSummary {
  readonly point: Point;
  readonly numOk: number;
  readonly numFailed: number;
  /** The first error, as its text; null: all went well. */
  readonly error: string | null;
  /** Numbers by metric; absent: none was measured. */
  readonly metrics: Readonly<Record<string, Spread>>;
  /** Texts that all runs of a seed agree in, by metric and seed; null: they differ. */
  readonly texts: Readonly<Record<string, Readonly<Record<string, string | null>>>>;
  /** To the baseline: of each round the ratio of the pair, over rounds the geometric mean with its interval (mean and ci on logarithms). Absent: no pair, or some pair has none. */
  readonly ratios: Readonly<Record<string, Spread>>;
  /** Of metrics that have pairs, but not of each a ratio. */
  readonly noRatios: Readonly<Record<string, NoRatio>>;
  readonly isBaseline: boolean;
}
