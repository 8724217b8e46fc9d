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
  /** These, which are on their way out, are needed after all. */
  | { readonly kind: 'keep'; readonly ranks: readonly number[] }
  /** These go, the least useful first: those that are on their way out, too. */
  | { readonly kind: 'shrink'; readonly ranks: readonly number[] };

/** Ranks that stay. */
export const stayingRanks = ({ present, leaving }: RanksView): number[] =>
  [...present].filter((rank) => !leaving.has(rank)).sort((a, b) => a - b);

/** Slow ranks go first, then those with the highest numbers, as in vLLM; others come back first. */
export function scalePlan(view: RanksView, wanted: number): ScalePlan {
  const isDemoted = (rank: number): number => (view.demoted.has(rank) ? 1 : 0);
  const leastUseful = (ranks: readonly number[]): number[] =>
    ranks.toSorted((a, b) => isDemoted(b) - isDemoted(a) || b - a);
  const staying = stayingRanks(view);
  const leaving = leastUseful([...view.leaving]);
  const numMissing = wanted - staying.length;
  if (numMissing > 0 && leaving.length > 0) return { kind: 'keep', ranks: leaving.slice(-numMissing) };
  if (numMissing > 0) return { kind: 'grow', numRanks: numMissing };
  const ranks = [...leaving, ...leastUseful(staying).slice(0, -numMissing)];
  return ranks.length === 0 ? { kind: 'done' } : { kind: 'shrink', ranks };
}
