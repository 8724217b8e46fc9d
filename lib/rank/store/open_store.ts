/** The store of a rank as its job wants it. */
import { causeText } from '../../../base/foreign_text.js';
import type { KvStorePlan } from '../../protocol/kv_store_plan.js';
import { RankStore, type RankStoreParts } from './rank_store.js';
import { removeForgotten } from './stored_folders.js';
import { openSeatFolder } from './seat_folder.js';

/** How long a rank waits at its start for what its disk has: whoever asks first finds it then. */
const LOOK_MS = 2000;

/** A disk that can't be had is told of, and the rank goes on without. `seat`: of the rank. */
export async function openStore(
  plan: KvStorePlan,
  seat: number,
  parts: Pick<RankStoreParts, 'cache' | 'onLifted' | 'onNews'>,
): Promise<RankStore> {
  const { disk } = plan;
  if (disk === null) return new RankStore({ ...parts, plan, files: null });
  const without = (why: string): { readonly notice: string } => ({
    notice: `keeps no KV blocks in ${disk.path} (${why}): see to it, or give another path in engine.kv_tiers`,
  });
  const files = await openSeatFolder({ ...plan, disk }, seat).catch((error: unknown) => without(causeText(error)));
  if (files === null)
    return new RankStore({ ...parts, plan, files, ...without('other processes have all its folders') });
  if ('notice' in files) return new RankStore({ ...parts, plan, files: null, ...files });
  const store = new RankStore({ ...parts, plan, files });
  await store.looked(LOOK_MS);
  if (seat === 0) void removeForgotten(disk.path, disk.identity, disk.maxBytes).catch(() => undefined); // the next start does
  return store;
}
