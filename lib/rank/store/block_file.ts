/**
 * A block as a file: a header of 80 bytes and the block as `KvCache.read` has it. Little-endian: 0 'XWKV', 4 version u16 = 1, 6 flags u16 (1: it has a state), 8 bytes
 * of the block u64, 16 its key, 48 SHA-256 of bytes 0 … 47 and the block. Pure. Why: docs/decisions/kv_store.md#a-file-is-right-or-it-is-not-there
 */
import { createHash } from 'node:crypto';
import { BLOCK_FILE_HEADER_BYTES } from '../../protocol/kv_store_plan.js';

const MAGIC = 'XWKV';
const VERSION = 1;
const HAS_STATE = 1;
const KEY_AT = 16;
const HASH_AT = 48;

/** A block outside its cache. */
export interface StoredBlock {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly hasState: boolean;
}

/** What comes before the block's bytes. `key`: a character per byte. */
export function headerOf(key: string, { bytes, hasState }: StoredBlock): Uint8Array {
  const header = Buffer.alloc(BLOCK_FILE_HEADER_BYTES);
  header.write(MAGIC, 0, 'latin1');
  header.writeUInt16LE(VERSION, 4);
  header.writeUInt16LE(hasState ? HAS_STATE : 0, 6);
  header.writeBigUInt64LE(BigInt(bytes.byteLength), 8);
  header.write(key, KEY_AT, 'latin1');
  header.set(hashOf(header, bytes), HASH_AT);
  return header;
}

/** The block of a file that should be one of this key; null where any bit of it is another. */
export function blockOfFile(file: Uint8Array<ArrayBuffer>, key: string): StoredBlock | null {
  if (file.byteLength < BLOCK_FILE_HEADER_BYTES) return null;
  const header = Buffer.from(file.buffer, file.byteOffset, BLOCK_FILE_HEADER_BYTES);
  const block = { bytes: file.subarray(BLOCK_FILE_HEADER_BYTES), hasState: header.readUInt16LE(6) === HAS_STATE };
  return Buffer.compare(header, headerOf(key, block)) === 0 ? block : null;
}

function hashOf(header: Uint8Array, bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(header.subarray(0, HASH_AT)).update(bytes).digest();
}
