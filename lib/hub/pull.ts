/** A model from a hub into its cache, where every command and the hub's own tools find it by name. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { causeText } from '../../base/foreign_text.js';
import type { Owner } from '../../base/process_owner.js';
import { bytes } from '../metrics/charts.js';
import { INDEX_FILE } from '../weights/shards.js';
import { BlobStore } from './blob_store.js';
import { hubCacheFolder, type Environment } from './cache/hub_cache.js';
import { isCommit, modelNameText, type ModelName } from './cache/model_name.js';
import { isSystemError } from '../../base/system_error.js';
import { download, FULL, type DownloadContext } from './download.js';
import { HubError } from './errors.js';
import type { HubTalk } from './hub_fetch.js';
import { HubRepository, type RemoteFile } from './hub_repository.js';
import { hubSettings, type HubSettings } from './hub_settings.js';
import { companionsOf, filesLike, weightsOf } from './needed_files.js';

/** What is pulled, and who is told of it. */
export interface PullOptions {
  readonly name: ModelName;
  /** Only files like these, instead of what the engine needs. Default: none. */
  readonly include?: readonly string[] | undefined;
  /** Only find out what would be fetched, besides configuration and index. Default false. */
  readonly isDryRun?: boolean | undefined;
  /** Says which hub, whose token and where the cache is: HF_ENDPOINT, HF_TOKEN, HF_HOME and others of the hub's own tools. */
  readonly env: Environment;
  readonly signal: AbortSignal;
  /** Told of bytes that are there of all that are wanted; the latter grows when the index of the weights is known. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  /** Told of each file that is there. */
  readonly onFile?: (file: RemoteFile) => void;
  /** Told of a file that another process fetches: it is waited for. */
  readonly onWaiting?: (file: RemoteFile, owner: Owner) => void;
  /** Called with the snapshot's folder when all is there but the weights, which follow. */
  readonly beforeWeights?: (folder: string) => Promise<void>;
  /** Otherwise than the environment says. */
  readonly settings?: Partial<HubSettings>;
}

/** What was pulled. */
export interface PulledModel {
  /** The snapshot in the cache: a model folder. */
  readonly folder: string;
  readonly commit: string;
  readonly files: readonly RemoteFile[];
  /** Bytes that came over the network; the rest was there. */
  readonly fetchedBytes: number;
}

/** Files at a time. */
const NUM_AT_ONCE = 4;

/**
 * Fetches what isn't there yet, checks every file against the hub's hash, and only when all are there makes the revision's name point to them.
 * Why: docs/decisions/hub.md#the-name-of-a-revision-comes-last
 *
 * @throws HubError; WeightError INVALID_JSON for an index that nobody can read; the signal's reason
 */
export async function pullModel(options: PullOptions): Promise<PulledModel> {
  const { name, env, signal } = options;
  const settings = { ...(await hubSettings(env)), ...options.settings };
  if (settings.isOffline)
    throw new HubError(
      'OFFLINE',
      `HF_HUB_OFFLINE is set, so that no hub is asked; unset it; if the cache has it already, --model ${modelNameText(name)} works without`,
    );
  const ended = new AbortController();
  const talk = { ...settings, repo: name.repo, signal: AbortSignal.any([signal, ended.signal]) };
  const cache = hubCacheFolder(env);
  try {
    return await new Pull(options, talk, await BlobStore.open(cache, name.repo, settings.mayLink), (error) =>
      ended.abort(error),
    ).run();
  } catch (error) {
    throw isSystemError(error) ? writeFailed(error, cache) : error;
  }
}

class Pull {
  private readonly repository: HubRepository;
  private doneBytes = 0;
  private totalBytes = 0;
  private fetchedBytes = 0;

  constructor(
    private readonly options: PullOptions,
    private readonly talk: HubTalk,
    private readonly store: BlobStore,
    /** Ends all that is being fetched. */
    private readonly end: (error: unknown) => void,
  ) {
    this.repository = new HubRepository(talk);
  }

  async run(): Promise<PulledModel> {
    const { name, include, isDryRun = false, beforeWeights } = this.options;
    const commit = await this.repository.commitOf(name.revision);
    const all = await this.repository.files(commit);
    await this.store.begin();
    const folder = this.store.snapshot(commit);
    const first = include === undefined ? companionsOf(all) : filesLike(all, include);
    const needed = isDryRun ? first.filter(({ path }) => path === INDEX_FILE) : first;
    await this.fetch(needed, commit);
    const weights = include === undefined ? weightsOf(all, await this.index(all, folder)) : [];
    if (!isDryRun) {
      await beforeWeights?.(folder);
      await this.fetch(weights, commit);
      if (!isCommit(name.revision)) await this.store.setRevision(name.revision, commit);
    }
    return { folder, commit, files: [...first, ...weights], fetchedBytes: this.fetchedBytes };
  }

  private async index(all: readonly RemoteFile[], folder: string): Promise<Parameters<typeof weightsOf>[1]> {
    if (!all.some(({ path }) => path === INDEX_FILE)) return null;
    const path = join(folder, INDEX_FILE);
    return { path, bytes: await readFile(path) };
  }

  /** Several at a time. What one fails with ends the others. */
  private async fetch(files: readonly RemoteFile[], commit: string): Promise<void> {
    await this.checkRoom(files, commit);
    this.totalBytes += files.reduce((sum, { size }) => sum + size, 0);
    const context = this.contextOf(commit);
    const left = files.values(); // shared by all that take the next
    const work = async (): Promise<void> => {
      for (const file of left) {
        await download(file, context);
        this.options.onFile?.(file);
      }
    };
    const guarded = async (): Promise<void> => {
      await work().catch((error: unknown) => {
        this.end(error);
        throw error;
      });
    };
    const ends = await Promise.allSettled(Array.from({ length: NUM_AT_ONCE }, guarded));
    if (ends.some(({ status }) => status === 'rejected')) throw this.talk.signal.reason;
  }

  private contextOf(commit: string): DownloadContext {
    const { talk, repository, store, options } = this;
    const onBytes = (numBytes: number): void => {
      this.doneBytes += numBytes;
      options.onProgress?.(this.doneBytes, this.totalBytes);
    };
    const onFetched = (numBytes: number): void => void (this.fetchedBytes += numBytes);
    const onWaiting: DownloadContext['onWaiting'] = (file, owner) => options.onWaiting?.(file, owner);
    return { talk, repository, store, commit, onBytes, onFetched, onWaiting };
  }

  /** Before hours are spent on what the disk has no room for. @throws HubError DISK_FULL */
  private async checkRoom(files: readonly RemoteFile[], commit: string): Promise<void> {
    let needed = 0;
    for (const file of files)
      if (!(await this.store.has(commit, file)))
        needed += Math.max(0, file.size - (await this.store.numKeptBytes(file)));
    const free = await this.store.numFreeBytes();
    if (needed <= free) return;
    const what = `${this.talk.repo} needs ${bytes(needed)} more, and the disk of ${this.store.snapshot(commit)} has ${bytes(free)} free`;
    throw new HubError('DISK_FULL', `${what}; make room, or set HF_HUB_CACHE to a folder of another disk`);
  }
}

function writeFailed(cause: NodeJS.ErrnoException, cache: string): HubError {
  const isFull = FULL.has(cause.code ?? '');
  const advice = isFull
    ? 'make room and pull again: what is whole stays. Or set HF_HUB_CACHE to a folder of another disk'
    : 'check its permissions, or set HF_HUB_CACHE to a folder that may be written';
  return new HubError(
    isFull ? 'DISK_FULL' : 'WRITE_FAILED',
    `the cache ${cache} can't be written (${causeText(cause)}); ${advice}`,
    { cause },
  );
}
