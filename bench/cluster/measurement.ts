/** What each measurement of `bench cluster` is given. */
import type { ClusterBenchOptions } from './options.js';

/** What all measurements share. */
export interface ClusterBench extends Omit<ClusterBenchOptions, 'names' | 'json'> {
  /** A folder for configurations, which is a home too: what processes keep there is gone afterwards. */
  readonly folder: string;
  /** A model with random weights and room for long prompts, in that folder. */
  readonly longModel: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}
