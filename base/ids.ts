/**
 * Ranks as `comm` takes them: plain numbers at run time that the compiler keeps apart from the counts and bytes around them. What stands on `comm` has
 * plain numbers and says `asRank` where it calls.
 */

/** A process of the job that holds a shard of the experts: 0 … size−1. */
export type Rank = number & { readonly __brand: 'Rank' };

/** A number as a rank; nothing is checked. */
export const asRank = (value: number): Rank => value as Rank;

/** Of a job: rank numbers take two bytes. */
export const MAX_RANKS = 65535;
