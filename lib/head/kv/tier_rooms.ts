import { tierBytesOf, type KvStorePlan } from '../../protocol/kv_store_plan.js';
import type { KvTier } from '../../protocol/kv_store.js';
import type { TierRoom } from './tier_shelf.js';

/** What a rank's tiers may hold, the nearest first, by the bytes that the rank counts too. */
export function tierRoomsOf(plan: KvStorePlan | null): TierRoom[] {
  const roomOf = (tier: KvTier, maxBytes: number | undefined | null): TierRoom[] =>
    maxBytes == null ? [] : [{ tier, maxBytes, bytesOf: (hasState) => tierBytesOf(tier, plan!, hasState) }];
  return [...roomOf('ram', plan?.ramBytes), ...roomOf('disk', plan?.disk?.maxBytes)];
}
