/** Which kept expert takes which of the others in. Pure. Shape suffix: E experts. */

/** Of one kept expert: all that become one, itself first, and what each weighs; weights sum to 1. */
export interface MergeGroup {
  readonly experts: readonly number[];
  readonly weights: readonly number[];
}

/**
 * Every expert that isn't kept goes to the kept one whose router logits over the text are most like its own, by their cosine; of equal ones the lower. Experts weigh as often as tokens chose
 * them; where no token chose any of a group, the kept one is all of it (Li et al. 2024, arXiv 2310.01334). `products_EE`: upper triangle [E·E].
 */
export function mergeGroups(kept: readonly number[], counts_E: Float64Array, products_EE: Float64Array): MergeGroup[] {
  const numExperts = counts_E.length;
  const product = (a: number, b: number): number => products_EE[Math.min(a, b) * numExperts + Math.max(a, b)]!;
  const cosine = (a: number, b: number): number => {
    const size = Math.sqrt(product(a, a) * product(b, b));
    return size === 0 ? 0 : product(a, b) / size;
  };
  const members = new Map(kept.map((expert) => [expert, [expert]]));
  for (let expert = 0; expert < numExperts; expert++) {
    if (members.has(expert)) continue;
    const nearest = kept.reduce((best, other) => (cosine(expert, other) > cosine(expert, best) ? other : best));
    members.get(nearest)!.push(expert);
  }
  return kept.map((own) => {
    const experts = members.get(own)!;
    const all = experts.reduce((sum, expert) => sum + counts_E[expert]!, 0);
    const weights = experts.map((expert) => (all === 0 ? Number(expert === own) : counts_E[expert]! / all));
    return { experts, weights };
  });
}
