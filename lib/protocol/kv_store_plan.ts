/** The tiers of a rank as its job has them. Why: docs/decisions/kv_store.md#files-of-one-identity-mean-the-same */
import { hash } from 'node:crypto';
import { kvTierSizes } from '../config/kv_tiers_schema.js';
import { VERSION } from '../config/package_files.js';
import type { ExpertwireConfig } from '../config/schema.js';
import type { ModelSpec } from '../model/spec/spec.js';
import { kvSizesOf } from './kv_transfer.js';
import type { KvTier } from './kv_store.js';

/** The tiers of each rank of a job. */
export interface KvStorePlan {
  /** Null: there is no such tier. */
  readonly ramBytes: number | null;
  readonly disk: DiskPlan | null;
  /** Of a block outside the cache: its rows, and the state that it may keep. */
  readonly rowBytes: number;
  readonly stateBytes: number;
}

/** Blocks as files. */
export interface DiskPlan {
  /** An absolute path, on the rank's machine. */
  readonly path: string;
  readonly maxBytes: number;
  /** 64 hexadecimal digits: files of stores where this is equal mean the same. */
  readonly identity: string;
}

/** What a file has before the block: see lib/rank/store/block_file.ts. */
export const BLOCK_FILE_HEADER_BYTES = 80;

/** What a block takes of a tier's capacity: both ends count it alike. */
export const tierBytesOf = (
  tier: KvTier,
  { rowBytes, stateBytes }: Pick<KvStorePlan, 'rowBytes' | 'stateBytes'>,
  hasState: boolean,
): number => rowBytes + (hasState ? stateBytes : 0) + (tier === 'disk' ? BLOCK_FILE_HEADER_BYTES : 0);

/**
 * What a configuration's tiers are for ranks; null where there are none. `identity`: of all that is told by no key, null where nobody knows, and then nothing is kept on disk.
 * Why: docs/decisions/kv_store.md#files-of-one-identity-mean-the-same
 */
export function kvStorePlanOf(config: ExpertwireConfig, spec: ModelSpec, identity: string | null): KvStorePlan | null {
  const { ramBytes, disk } = kvTierSizes(config.engine.kv_tiers);
  if (ramBytes === null && disk === null) return null;
  const { rowBytes, stateBytes } = kvSizesOf(config, spec);
  const { block_size: blockSize, kv_dtype: dtype } = config.engine;
  const means = JSON.stringify([VERSION, identity, spec, dtype, blockSize, rowBytes, stateBytes]);
  const files = identity === null ? null : disk && { ...disk, identity: hash('sha256', means, 'hex') };
  return { ramBytes, disk: files, rowBytes, stateBytes };
}
