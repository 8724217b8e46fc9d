/**
 * What routed experts are, by digest: a rank reads just its own, so ranks with other folders prove theirs against the head's. Digests of a folder are kept in the
 * user's cache as long as its files are the same ones, since a checkpoint may take minutes to read.
 */
import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import * as z from 'zod';
import { findShards } from '../../weights/shards.js';
import { gateOf, wholeSizesOf, moeLayersOf, type ModelSpec } from '../spec/spec.js';
import { openWeights, type ModelWeights } from '../stored/model_weights.js';
import { expertKey } from '../spec/tensor_names.js';
import { CheckpointExperts } from './weight_reader.js';

/** By expertKey: 64 hexadecimal digits over the expert's tensors as they are on disk. */
export type ExpertDigests = ReadonlyMap<string, string>;

/** The digests of a model folder's experts, read when they are asked for. */
export class FolderDigests {
  private readonly known: Map<string, string>;
  /** Null: nothing is kept. */
  private readonly cacheFile: string | null;
  /** The identity of each. */
  private readonly files: readonly string[];
  private numRead = 0;

  private constructor(
    private readonly weights: ModelWeights,
    private readonly experts: CheckpointExperts,
    private readonly paths: readonly string[],
    cache: { readonly file: string | null; readonly files: readonly string[]; readonly known: Map<string, string> },
  ) {
    ({ file: this.cacheFile, files: this.files, known: this.known } = cache);
  }

  /** @throws WeightError where the folder has no weights, or none that can be read */
  static async open(dir: string, spec: ModelSpec, signal?: AbortSignal): Promise<FolderDigests> {
    const { paths } = await findShards(dir);
    const files = await Promise.all(paths.map(identityOf)); // before they are opened: those opened can only be newer
    const file = cacheFileOf(await realpath(dir));
    const known = file === null ? new Map<string, string>() : await readCache(file, files);
    const weights = await openWeights(dir, spec);
    const onDigest = (key: string, digest: string): void => void known.set(key, digest);
    const experts = new CheckpointExperts(weights, wholeSizesOf(spec), { signal, onDigest });
    return new FolderDigests(weights, experts, paths, { file, files, known });
  }

  /** Of one expert. @throws WeightError; the signal's reason */
  async digest(layer: number, expert: number): Promise<string> {
    const key = expertKey(layer, expert);
    if (!this.known.has(key)) {
      await this.experts.expert(layer, expert);
      this.numRead++;
    }
    return this.known.get(key)!;
  }

  /** Experts that were read, not found in the cache. */
  get numExpertsRead(): number {
    return this.numRead;
  }

  /** Keeps what was read for the next time. A cache that can't be written is no error. */
  async close(): Promise<void> {
    await this.weights.close();
    if (this.numRead === 0 || this.cacheFile === null) return;
    const now = await Promise.all(this.paths.map(identityOf)).catch(() => []);
    if (now.join('\n') !== this.files.join('\n')) return; // written meanwhile
    const cache = { files: this.files, digests: Object.fromEntries(this.known) };
    await writeCache(this.cacheFile, cache).catch(() => undefined);
  }
}

/** All experts of a model, layer by layer. */
export function* everyExpert(spec: ModelSpec): Generator<{ readonly layer: number; readonly expert: number }, void> {
  for (const layer of moeLayersOf(spec)) {
    for (let expert = 0; expert < gateOf(spec, layer).numExperts; expert++) yield { layer, expert };
  }
}

/** Null where the user has no home: none is made. */
function cacheFileOf(dir: string): string | null {
  try {
    const home = homedir(); // throws where the system knows no user of this number
    const name = `${createHash('sha256').update(dir).digest('hex')}.json`;
    return existsSync(home) ? join(resolve(home, '.cache', 'expertwire', 'digests'), name) : null;
  } catch {
    return null;
  }
}

/** What is other as soon as a file is another one or was written: a copy that keeps its time has another inode. */
async function identityOf(path: string): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  return [path, dev, ino, size, mtimeNs, ctimeNs].join(' ');
}

const CACHE = z.object({
  files: z.array(z.string()),
  digests: z.record(z.string(), z.string().regex(/^[0-9a-f]{64}$/)),
});

/** Empty where nothing is kept, or for other files, or where it is damaged. */
async function readCache(file: string, files: readonly string[]): Promise<Map<string, string>> {
  try {
    const cache = CACHE.parse(JSON.parse(await readFile(file, 'utf8')));
    return new Map(cache.files.join('\n') === files.join('\n') ? Object.entries(cache.digests) : []);
  } catch {
    return new Map();
  }
}

async function writeCache(
  file: string,
  cache: { readonly files: readonly string[]; readonly digests: Readonly<Record<string, string>> },
): Promise<void> {
  await mkdir(join(file, '..'), { recursive: true });
  const partial = `${file}.${randomUUID()}`;
  try {
    await writeFile(partial, JSON.stringify(cache));
    await rename(partial, file);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}
