import type { KvTier, StoreOrder } from '../../protocol/kv_store.js';

/** What becomes of one key in a rank's tiers. */
export type KeyOrder = { readonly key: string } & (
  { readonly kind: 'demote' } | { readonly kind: 'drop'; readonly tier: KvTier }
);

/** Of one order: a message has a limit. */
const MAX_KEYS = 4096;

/** As a rank is told, in the same order, with few messages. */
export function storeOrdersOf(orders: readonly KeyOrder[]): StoreOrder[] {
  const told: (Exclude<StoreOrder, { readonly kind: 'load' | 'cancel_load' }> & { readonly keys: string[] })[] = [];
  for (const { key, ...what } of orders) {
    const last = told.at(-1);
    const isNext = last?.kind === what.kind && (what.kind === 'demote' || (last as typeof what).tier === what.tier);
    if (isNext && last.keys.length < MAX_KEYS) last.keys.push(key);
    else told.push({ ...what, keys: [key] });
  }
  return told;
}
