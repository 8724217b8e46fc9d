/** From the ranks that a job has to the ranks that it is to have. Pure. */

/** Who is there. */
export interface RanksView {
  /** Seats that steps run on. */
  readonly present: ReadonlySet<number>;
  /** Those of them that are on their way out. */
  readonly leaving: ReadonlySet<number>;
  /** Those of them that hold no experts, because they are slow. */
  readonly demoted: ReadonlySet<number>;
}

/** What is to be done next. */
export type ScalePlan =
  | { readonly kind: 'done' }
  /** So many newcomers are needed. */
  | { readonly kind: 'grow'; readonly numRanks: number }
  /** These go, the least useful first. */
  | { readonly kind: 'shrink'; readonly ranks: readonly number[] };

/** Ranks that stay. */
export const stayingRanks = ({ present, leaving }: RanksView): number[] =>
  [...present].filter((rank) => !leaving.has(rank)).sort((a, b) => a - b);

/** Slow ranks go first, then those with the highest numbers, as in vLLM. */
export function scalePlan(view: RanksView, wanted: number): ScalePlan {
  const staying = stayingRanks(view);
  const numMissing = wanted - staying.length;
  if (numMissing === 0) return { kind: 'done' };
  if (numMissing > 0) return { kind: 'grow', numRanks: numMissing };
  const isDemoted = (rank: number): number => (view.demoted.has(rank) ? 1 : 0);
  const ranks = staying.toSorted((a, b) => isDemoted(b) - isDemoted(a) || b - a);
  return { kind: 'shrink', ranks: ranks.slice(0, -numMissing) };
}
