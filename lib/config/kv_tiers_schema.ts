/** `engine.kv_tiers`: where blocks go that the KV cache of a rank has no room for. */
import * as z from 'zod';
import { key, size } from './key_types.js';

const folder = key(z.string().min(1), 'the path of a folder', 'string');

const tier = z.union([
  z.strictObject({ ram: size }).readonly(),
  z.strictObject({ disk: z.strictObject({ path: folder, size }).readonly() }).readonly(),
]);

/** The nearest first; each at most once. */
export const kvTiersSection = key(
  z
    .array(tier)
    .max(2)
    .refine((tiers) => tiers.length < 2 || ('ram' in tiers[0]! && 'disk' in tiers[1]!))
    .readonly(),
  'a list of { ram: SIZE } and { disk: { path: DIR, size: SIZE } }, each at most once and ram first, with sizes as 512MiB, 10GiB or a number of bytes',
  'list',
);

/** As a checked configuration has them. */
export type KvTiers = z.infer<typeof kvTiersSection>;

/** Of a rank, in bytes; none: what its cache has no room for is forgotten. */
export interface KvTierSizes {
  readonly ramBytes: number | null;
  readonly disk: { readonly path: string; readonly maxBytes: number } | null;
}

/** What a checked configuration's tiers may hold. */
export function kvTierSizes(tiers: KvTiers): KvTierSizes {
  const ram = tiers.find((each) => 'ram' in each);
  const disk = tiers.find((each) => 'disk' in each)?.disk;
  return { ramBytes: ram?.ram ?? null, disk: disk === undefined ? null : { path: disk.path, maxBytes: disk.size } };
}
