/** Which rank a sequence goes to. Why: docs/decisions/requests.md#a-sequence-goes-where-it-costs-least */
import type { Place } from './policy.js';

/** What one more sequence on a rank costs the others there, as tokens to compute: each of its tokens is one that all ranks wait for. */
const SEQUENCE_TOKENS = 64;
/** Tokens in the KV cache whose reading takes about as long as computing one. */
const KV_TOKENS_PER_TOKEN = 64;

/**
 * What it counts for more, per token, that a sequence stays with what nobody holds but was left for it: it would lie there in vain, and the next turn
 * would find it in two places.
 */
const IDLE_TOKENS = 3;

/** The one that costs least, of those with room; then the one with the most blocks left; null: none has room. */
export function bestPlace(places: readonly Place[]): Place | null {
  const withRoom = places.filter(({ numFreeBlocks }) => numFreeBlocks >= 0);
  const [best = null] = withRoom.sort((a, b) => costOf(a) - costOf(b) || b.numFreeBlocks - a.numFreeBlocks);
  return best;
}

/** Tokens to compute, as a rank of median speed would: of prompts, without what is in the cache there; of sequences that run, as many as one may be taken to generate; and what attention reads. */
const costOf = ({ numPrefillTokens, numIdleTokens, numSequences, numKvTokens, pace }: Place): number =>
  pace * (numPrefillTokens + SEQUENCE_TOKENS * numSequences + numKvTokens / KV_TOKENS_PER_TOKEN) -
  IDLE_TOKENS * numIdleTokens;
