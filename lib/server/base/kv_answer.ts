/** What GET /v1/kv says. */
import * as z from 'zod';
import { KV_TIERS } from '../../protocol/kv_store.js';

const count = z.number().min(0);
const tier = z.enum(KV_TIERS);
/** Of prompts; those that were looked for, and of them those that were found. */
const lookups = { queried_tokens: count, hit_tokens: count };
const fetched = z.object({ fetches: count, failed: count, blocks: count, bytes: count });

/** As clients read it. */
export const kvAnswer = z.object({
  block_size: count,
  ranks: z.array(
    z.object({
      ...{ rank: count, blocks: count, used_blocks: count, cached_blocks: count, pinned_blocks: count },
      tiers: z.array(z.object({ tier, blocks: count, bytes: count, max_bytes: count })),
    }),
  ),
  cache: z.object({ ...lookups, evicted_blocks: count, refused_pins: count }),
  tiers: z.array(
    z.object({
      ...{ tier, ...lookups, stored_blocks: count, stored_bytes: count },
      ...{ loaded_blocks: count, loaded_bytes: count, lost_blocks: count },
    }),
  ),
  pool: z.object({
    ...lookups,
    fetched: z.object({ rank: fetched, instance: fetched }),
    ...{ loans: count, lent_blocks: count, evicted_loans: count, expired_loans: count },
  }),
});

/** Its type. */
export type KvAnswer = z.infer<typeof kvAnswer>;
