/** What files of a disk tier mean. Why: docs/decisions/kv_store.md#files-of-one-identity-mean-the-same */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { kernelModuleUrl } from '../../../compute/wasm/memory/kernel_settings.js';
import { modelFingerprint } from '../../weights/model_fingerprint.js';
import { findShards } from '../../weights/shards.js';

/**
 * 64 hexadecimal digits: of the model as {@link modelFingerprint} has it, of when its weights were written, and of the kernels that compute. Null: there are no weights in the
 * folder. @throws WeightError; what the file system throws
 */
export async function storeIdentityOf(dir: string, preamble: readonly Uint8Array[]): Promise<string | null> {
  const fingerprint = await modelFingerprint(dir, preamble);
  if (fingerprint === null) return null;
  const { paths } = await findShards(dir);
  const written = await Promise.all(paths.map(writtenAt));
  const identity = createHash('sha256').update(JSON.stringify([fingerprint, written]));
  for (const fma of [false, true]) identity.update(await readFile(kernelModuleUrl({ fma })));
  return identity.digest('hex');
}

async function writtenAt(path: string): Promise<readonly string[]> {
  const { size, mtimeNs } = await stat(path, { bigint: true });
  return [basename(path), String(size), String(mtimeNs)];
}
