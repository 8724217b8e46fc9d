/** By what experts are pruned: a score for each, of which the highest stay. Pure. Shape suffixes: L MoE layers, E experts. */
import { randomFrom } from '../../experts/routing/random.js';
import { reapScores, type ExpertTally, type Watched } from './expert_watch.js';

/**
 * - `reap`: the mean of weight · norm of its output over the tokens that chose it (Lasby et al. 2025, arXiv 2510.13999).
 * - `frequency`: how many tokens chose it.
 * - `random`: a number that is drawn, to hold the others against.
 */
export const CRITERIA = ['reap', 'frequency', 'random'] as const;
/** One of {@link CRITERIA}. */
export type Criterion = (typeof CRITERIA)[number];

/** What has to be looked at for it, besides choices; null: nothing at all. */
export const WATCHED: Readonly<Record<Criterion, Watched | null>> = {
  reap: { outputs: true },
  frequency: {},
  random: null,
};

/** [L][E]. `tally`: of a text that was read; null where the criterion wants none. */
export function scoresOf(
  criterion: Criterion,
  tally: ExpertTally | null,
  { numLayers, numExperts, seed }: { readonly numLayers: number; readonly numExperts: number; readonly seed: number },
): Float64Array[] {
  switch (criterion) {
    case 'reap':
      return reapScores(tally!);
    case 'frequency':
      return tally!.counts_LE.map((counts_E) => counts_E.slice());
    case 'random': {
      const random = randomFrom(seed);
      return Array.from({ length: numLayers }, () => Float64Array.from({ length: numExperts }, random));
    }
  }
}
