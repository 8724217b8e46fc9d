/** Blocks of one rank that its cache has no room for: in memory, and in files. Why: docs/decisions/kv_store.md#the-head-says-what-lies-where-the-rank-has-the-bytes */
import { setImmediate as turn } from 'node:timers/promises';
import { causeText } from '../../../base/foreign_text.js';
import type { KvCache } from '../../model/decoder/decoder.js';
import type { KeyedBlock, LiftReport, StoreNews, StoreOrder } from '../../protocol/kv_store.js';
import { BLOCK_FILE_HEADER_BYTES, type KvStorePlan } from '../../protocol/kv_store_plan.js';
import type { StoredBlock } from './block_file.js';
import type { BlockFiles, FoundFile } from './block_files.js';
import { DiskTier } from './disk_tier.js';
import { Loads } from './loads.js';
import { within } from './within.js';

/** What a store keeps, where, and who hears of it. */
export interface RankStoreParts {
  readonly plan: KvStorePlan;
  readonly cache: Pick<KvCache, 'read' | 'write'>;
  /** Null: nothing is kept on disk. */
  readonly files: BlockFiles | null;
  /** Told once, when somebody listens. Default: nothing. */
  readonly notice?: string | undefined;
  /** Of blocks that aren't on the disk yet. Default: 128 MiB, or 64 blocks where those are more. */
  readonly maxQueuedBytes?: number;
  readonly onLifted: (report: LiftReport) => void;
  readonly onNews: (news: StoreNews) => void;
}

/** Of blocks that aren't on the disk yet; so many of them all the same. */
const MAX_QUEUED_BYTES = 128 * 2 ** 20;
const MIN_QUEUED = 64;
/** Of one message. */
const MAX_KEYS = 1024;
/** How long what is on its way to the disk is waited for at the end. */
const CLOSE_MS = 1000;

/** One per rank. */
export class RankStore {
  private readonly ram = new Map<string, StoredBlock>();
  private ramBytes = 0;
  /** Null: there is none. */
  private readonly disk: DiskTier | null;
  private readonly loads: Loads;
  /** Everything that was ordered so far, but what is read and written beside. */
  private last = Promise.resolve();
  private readonly notices: string[] = [];
  /** The job has a disk, and this rank can't use it. */
  private isDiskGone: boolean;
  private hasFailed = false;
  /** The most that a block takes. */
  private readonly blockBytes: number;
  /** Of blocks that are being read out of the cache, for the disk. */
  private readingBytes = 0;
  /** Whoever is told what is found; another one, where a head comes after one. */
  private listener: object | null = null;

  constructor(private readonly parts: RankStoreParts) {
    const { cache, files, plan, notice, onLifted } = parts;
    const { disk } = plan;
    const onFailure = (error: unknown): void => this.fail(error);
    this.loads = new Loads({ cache, read: (key) => this.get(key), tell: onLifted, onFailure });
    this.blockBytes = plan.rowBytes + plan.stateBytes;
    const { maxQueuedBytes = Math.max(MAX_QUEUED_BYTES, MIN_QUEUED * this.blockBytes) } = parts;
    if (notice !== undefined) this.notices.push(notice);
    this.isDiskGone = disk !== null && files === null;
    this.disk =
      files &&
      disk &&
      new DiskTier({
        ...{ files, maxBytes: disk.maxBytes, maxQueuedBytes },
        onLost: (key) => this.lose([key]),
        onFailure: (error) =>
          this.warn(
            `can't keep KV blocks in ${disk.path} (${causeText(error)}): they are computed anew; see to that disk`,
          ),
        onGone: (error) => {
          this.isDiskGone = true;
          this.warn(
            `can't look into ${disk.path} (${causeText(error)}), and keeps no KV blocks there; see to that disk`,
          );
          if (this.listener !== null) this.tell({ gone: ['disk'] });
        },
      });
  }

  /** Resolves when it is known what is on disk, or after `timeoutMs`. */
  async looked(timeoutMs: number): Promise<void> {
    if (this.disk !== null) await within(this.disk.scanned, timeoutMs);
  }

  /** A head listens: it is told what is found. */
  begin(): void {
    const listener = {};
    this.listener = listener;
    for (const notice of this.notices.splice(0)) this.warn(notice);
    if (this.isDiskGone) this.tell({ gone: ['disk'] });
    const { disk, last } = this;
    if (disk !== null) void Promise.all([disk.scanned, last]).then(() => this.tellFound(disk.keys, listener));
  }

  /** Reads blocks as they are at the time of the call. */
  keep(blocks: readonly KeyedBlock[]): void {
    if (blocks.length === 0) return;
    const numRead = this.numReadable(blocks.length);
    const reading = Promise.all(blocks.slice(0, numRead).map((each) => this.readOut(each)));
    const readingBytes = numRead * this.blockBytes;
    this.readingBytes += readingBytes;
    this.behind(async () => {
      const kept = (await reading).filter(({ key, block }) => block !== null && this.put(key, block));
      this.readingBytes -= readingBytes;
      const isKept = new Set(kept.map(({ key }) => key));
      this.lose(blocks.map(({ key }) => key).filter((key) => !isKept.has(key)));
    });
  }

  /** Behind what was ordered before; a load is cancelled at once. */
  obey(order: StoreOrder): void {
    if (order.kind === 'cancel_load') return this.loads.cancel(order.load);
    if (order.kind === 'load') {
      const signal = this.loads.announce(order.order.load);
      return this.behind(() => void this.loads.run(order.order, signal));
    }
    this.behind(() => {
      if (order.kind === 'demote') this.demote(order.keys);
      else for (const key of order.keys) this.drop(order.tier, key);
    });
  }

  /** For who borrows it: from whichever tier has it, behind what was ordered before. Null: none has, or it is damaged. */
  async read(key: string): Promise<StoredBlock | null> {
    await Promise.all([this.last, this.disk?.scanned]);
    const isOnDisk = this.disk?.has(key) === true;
    const block = await this.get(key);
    if (isOnDisk && block === null) this.lose([key]); // damaged
    return block;
  }

  /** The head is gone: what it ordered ends, and the next one begins with what is on disk. */
  reset(): void {
    this.listener = null;
    this.loads.cancelAll();
    this.behind(() => {
      this.ram.clear();
      this.ramBytes = 0;
    });
  }

  /** Nothing is written into the cache from now on; resolves when others may have the files. Idempotent. */
  async close(): Promise<void> {
    this.listener = null;
    this.loads.cancelAll();
    await this.last;
    await this.disk?.close(CLOSE_MS);
  }

  private behind(work: () => void | Promise<void>): void {
    this.last = this.last.then(work).catch((error: unknown) => this.fail(error));
  }

  /** A bug of ours: the head finds out what isn't there. */
  private fail(error: unknown): void {
    if (!this.hasFailed) this.warn(`lost KV blocks of its tiers (${causeText(error)}): they are computed anew`);
    this.hasFailed = true;
  }

  /** Of so many blocks of the cache: what memory or the disk's queue has no room for isn't read. */
  private numReadable(count: number): number {
    if (this.parts.plan.ramBytes !== null) return count;
    const roomBytes = (this.disk?.roomBytes ?? 0) - this.readingBytes;
    return Math.min(count, Math.max(0, Math.floor(roomBytes / (this.blockBytes + BLOCK_FILE_HEADER_BYTES))));
  }

  private async readOut({
    block,
    key,
  }: KeyedBlock): Promise<{ readonly key: string; readonly block: StoredBlock | null }> {
    const bytes = await this.parts.cache.read(block).catch(() => null);
    const { rowBytes } = this.parts.plan;
    return { key, block: bytes && { bytes, hasState: bytes.byteLength > rowBytes } };
  }

  /** In the first tier. False: there is no room for it. */
  private put(key: string, block: StoredBlock): boolean {
    const { ramBytes } = this.parts.plan;
    this.drop('ram', key);
    if (ramBytes === null) return this.disk?.put(key, block) === true;
    if (this.ramBytes + block.bytes.byteLength > ramBytes) return false;
    this.ram.set(key, block);
    this.ramBytes += block.bytes.byteLength;
    return true;
  }

  private demote(keys: readonly string[]): void {
    const lost = keys.filter((key) => {
      const block = this.ram.get(key);
      this.drop('ram', key);
      return block === undefined || this.disk?.put(key, block) !== true;
    });
    this.lose(lost);
  }

  private drop(tier: 'ram' | 'disk', key: string): void {
    if (tier === 'disk') return this.disk?.drop(key);
    this.ramBytes -= this.ram.get(key)?.bytes.byteLength ?? 0;
    this.ram.delete(key);
  }

  private get(key: string): Promise<StoredBlock | null> {
    const block = this.ram.get(key);
    return block === undefined ? (this.disk?.read(key) ?? Promise.resolve(null)) : Promise.resolve(block);
  }

  /** They are in no tier from now on. */
  private lose(keys: readonly string[]): void {
    if (keys.length === 0) return;
    for (const key of keys) {
      this.drop('ram', key);
      this.drop('disk', key);
    }
    if (this.listener === null) return;
    for (let i = 0; i < keys.length; i += MAX_KEYS) this.tell({ lost: keys.slice(i, i + MAX_KEYS) });
  }

  private warn(notice: string): void {
    if (this.listener === null) this.notices.push(notice);
    else this.tell({ notice });
  }

  private tell(news: Partial<StoreNews>): void {
    this.parts.onNews({ found: [], lost: [], ...news });
  }

  private async tellFound(files: readonly FoundFile[], listener: object): Promise<void> {
    const { rowBytes } = this.parts.plan;
    const keys = files.map(({ key, numBytes }) => ({ key, hasState: numBytes > rowBytes }));
    for (let i = 0; i < keys.length && this.listener === listener; i += MAX_KEYS) {
      this.tell({ found: keys.slice(i, i + MAX_KEYS) });
      await turn();
    }
  }
}
