/** Blocks and keys that tests of a store use. */
import { hash } from 'node:crypto';
import type { StoredBlock } from '../../../lib/rank/store/block_file.js';
import { randomFrom } from '../../refs/random.js';

/** Of a block: rows, and the state that some have. */
export const SIZES = { rowBytes: 96, stateBytes: 40 };

/** As block_keys.ts makes them: a character per byte. */
export const keyOf = (name: string): string => hash('sha256', name, 'binary');

/** Another one for each seed. */
export function storedBlock(seed: number, hasState = false): StoredBlock {
  const random = randomFrom(seed + 1);
  const numBytes = SIZES.rowBytes + (hasState ? SIZES.stateBytes : 0);
  return { bytes: Uint8Array.from({ length: numBytes }, () => Math.floor(random() * 256)), hasState };
}
