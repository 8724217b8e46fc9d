/** What each measurement of `bench cluster` is given, and what it gives. */
import { BenchError } from '../base/errors.js';
import type { ClusterBenchOptions } from './options.js';

/** One line of figures, by name: what the table shows and `--json` has. */
export type FigureRow = Readonly<Record<string, number | string>>;

/** What came of a measurement. */
export interface Measured {
  readonly formula: string;
  /** What the figures are compared with, in the same run. */
  readonly baseline: string;
  readonly aim: string;
  readonly rows: readonly FigureRow[];
  /** Answers whose tokens were looked at, and those that aren't what they would have been. */
  readonly answers: number;
  readonly changed: number;
}

/** What all measurements share. */
export interface ClusterBench extends Omit<ClusterBenchOptions, 'names' | 'json'> {
  /** A folder for configurations, which is a home too: what processes keep there is gone afterwards. */
  readonly folder: string;
  /** A model with random weights and room for long prompts, in that folder. */
  readonly longModel: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** Whether an answer begins as the other one, as far as both go. */
export const beginsAs = (one: readonly number[], other: readonly number[]): boolean =>
  one.slice(0, other.length).every((id, i) => id === other[i]);

/** @throws BenchError TOKENS_DIFFER where an answer was changed */
export function checkTokens(results: readonly Measured[], seed: number): void {
  const numChanged = results.reduce((sum, { changed }) => sum + changed, 0);
  if (numChanged === 0) return;
  const text = `${numChanged} answers aren't what they would have been; run --seed ${seed} again and report it`;
  throw new BenchError('TOKENS_DIFFER', text);
}
