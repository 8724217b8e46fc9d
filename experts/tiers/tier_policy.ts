/** Which resident expert makes room for another one. Pure. Why: docs/decisions/memory.md#experts-that-are-read-when-they-are-wanted */

/** What is known of an expert that a rank holds, resident or not. */
export interface ExpertUse {
  /** As the model numbers its layers. */
  readonly layer: number;
  /** Among the experts of its layer. */
  readonly expert: number;
  /** Calls in which the rank computed with it. */
  readonly numUses: number;
  /**
   * The same of steps that are over, where a use counts half of one 256 steps later, in a unit that changes: comparable with other experts of the same
   * moment.
   */
  readonly frequency: number;
  /** Number of the last call that used it; 0: none did. */
  readonly lastUse: number;
}

/**
 * Chooses which of `resident`, at least one, goes, and gives its index. `wanted` comes instead. Results don't depend on it, only how often experts are read.
 * With copies in fewer bits (`experts.warm`) it is asked which of those goes too, and whether a resident one or the wanted one itself, which is among `resident` then: results depend on it.
 * It is called in the middle of a step: quick, and without effects.
 */
export type TierPolicy = (resident: readonly ExpertUse[], wanted: ExpertUse) => number;

/** Policies that are there without plug-ins. */
export const TIER_POLICIES = ['frequency', 'lru'] as const;
/** One of {@link TIER_POLICIES}. */
export type TierPolicyName = (typeof TIER_POLICIES)[number];

/** Steps after which a use counts half. */
export const HALF_LIFE_STEPS = 256;

/** One of the policies that are there. */
export const createTierPolicy = (name: TierPolicyName): TierPolicy => POLICIES[name];

const POLICIES: Readonly<Record<TierPolicyName, TierPolicy>> = {
  /** What was used least often of late; of equals, what was used last, since its layer comes up last. */
  frequency: (resident) => least(resident, (a, b) => a.frequency - b.frequency || b.lastUse - a.lastUse),
  /** What wasn't used for longest. */
  lru: (resident) => least(resident, (a, b) => a.lastUse - b.lastUse),
};

/** The first of the least. */
function least(resident: readonly ExpertUse[], compare: (a: ExpertUse, b: ExpertUse) => number): number {
  let best = 0;
  for (let i = 1; i < resident.length; i++) if (compare(resident[i]!, resident[best]!) < 0) best = i;
  return best;
}
