/** `engine.kv_tiers`: where blocks go that the KV cache of a rank has no room for. */
import * as z from 'zod';
import { key } from './key_types.js';

const BYTES_OF = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 } as const;
/** More is a slip. */
const MAX_BYTES = 2 ** 50;

/** '1GiB', '1.5 MiB' or a number of bytes; a number of bytes comes out. */
const size = key(
  z.union([
    z.int().min(1).max(MAX_BYTES),
    z
      .string()
      .regex(/^\d{1,16}(\.\d{1,6})? ?(B|KiB|MiB|GiB|TiB)$/)
      .transform(bytesOfText)
      .pipe(z.int().min(1).max(MAX_BYTES)),
  ]),
  'a size as 512MiB, 10GiB or a number of bytes',
  'string',
  'number',
);

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

function bytesOfText(text: string): number {
  const [, number, unit] = /^([\d.]+) ?(\w+)$/.exec(text)!;
  return Math.round(Number(number) * BYTES_OF[unit as keyof typeof BYTES_OF]);
}
