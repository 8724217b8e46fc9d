/**
 * The disk tier of a rank: what is being written is served from memory until it is there. One writer, in the order in which it was asked.
 * Why: docs/decisions/kv_store.md#what-leaves-goes-down
 */
import { BLOCK_FILE_HEADER_BYTES } from '../../protocol/kv_store_plan.js';
import type { StoredBlock } from './block_file.js';
import { within } from './within.js';
import type { BlockFiles, FoundFile } from './block_files.js';

/** What a disk tier writes to, and who hears of it. */
export interface DiskTierParts {
  readonly files: BlockFiles;
  /** Of all files. */
  readonly maxBytes: number;
  /** Of blocks in memory that aren't written yet. */
  readonly maxQueuedBytes: number;
  /** It was to be written, and is not. */
  readonly onLost: (key: string) => void;
  /** What the disk said when it took no block, once until it does again. */
  readonly onFailure: (error: unknown) => void;
  /** Nobody knows what is there: nothing is written or read from now on. */
  readonly onGone: (error: unknown) => void;
}

type Work =
  | { readonly kind: 'write'; readonly key: string; readonly block: StoredBlock }
  | { readonly kind: 'remove'; readonly key: string };

/** One per rank. */
export class DiskTier {
  /** Written or found, least recently used first: bytes of each file. */
  private readonly written = new Map<string, number>();
  private readonly queued = new Map<string, StoredBlock>();
  private work: Work[] = [];
  private readonly bytes = { written: 0, queued: 0 };
  private working: Promise<void> | null = null;
  private isFailing = false;
  private isClosed = false;
  /** What was there when this began, once it was looked. */
  readonly scanned: Promise<void>;

  constructor(private readonly parts: DiskTierParts) {
    this.scanned = this.scan();
  }

  /** Least recently used first; also what is on its way. */
  get keys(): readonly FoundFile[] {
    const written = [...this.written].map(([key, bytes]) => ({ key, numBytes: bytes - BLOCK_FILE_HEADER_BYTES }));
    return [...written, ...[...this.queued].map(([key, { bytes }]) => ({ key, numBytes: bytes.byteLength }))];
  }

  /** Whether it is there, as far as anybody knows, or on its way. */
  has(key: string): boolean {
    return this.queued.has(key) || this.written.has(key);
  }

  /** Replaces what there is of this key. False: there is no room for it. */
  put(key: string, block: StoredBlock): boolean {
    const { maxBytes, maxQueuedBytes } = this.parts;
    const had = this.forget(key);
    const { written, queued } = this.bytes;
    const isFull = written + queued + sizeOf(block) > maxBytes || queued + sizeOf(block) > maxQueuedBytes;
    if (isFull || this.isClosed) {
      if (had) this.do({ kind: 'remove', key });
      return false;
    }
    this.queued.set(key, block);
    this.bytes.queued += sizeOf(block);
    this.do({ kind: 'write', key, block });
    return true;
  }

  /** Null: it isn't there, or damaged. */
  async read(key: string): Promise<StoredBlock | null> {
    const queued = this.queued.get(key);
    if (queued !== undefined) return queued;
    await this.scanned;
    if (!this.written.has(key)) return null;
    const block = await this.parts.files.read(key);
    const bytes = this.written.get(key);
    if (bytes === undefined) return block; // dropped meanwhile
    this.written.delete(key);
    if (block === null) this.bytes.written -= bytes;
    else this.written.set(key, bytes); // the last one used
    return block;
  }

  /** Nothing where it isn't there. */
  drop(key: string): void {
    if (this.forget(key)) this.do({ kind: 'remove', key });
  }

  /** Bytes of blocks that it takes now, in memory until they are written. */
  get roomBytes(): number {
    return this.isClosed ? 0 : Math.max(0, this.parts.maxQueuedBytes - this.bytes.queued);
  }

  /** Nothing more is taken; what was is written, for as long as `timeoutMs` at most: a disk that hangs is left to itself. Idempotent. */
  async close(timeoutMs: number): Promise<void> {
    this.isClosed = true;
    await within(this.whenIdle(), timeoutMs);
    this.work = [];
    if (await within(this.whenIdle(), timeoutMs)) await this.parts.files.close();
  }

  private async whenIdle(): Promise<void> {
    await this.scanned;
    await this.working;
  }

  private async scan(): Promise<void> {
    const { files, maxBytes } = this.parts;
    const found = await files.scan().catch((error: unknown) => this.giveUp(error));
    const news = found.filter(({ key }) => !this.queued.has(key));
    for (const { key, numBytes } of news) this.count(key, numBytes + BLOCK_FILE_HEADER_BYTES);
    for (const { key } of news) {
      if (this.bytes.written + this.bytes.queued <= maxBytes) break;
      this.drop(key);
    }
  }

  private giveUp(error: unknown): readonly FoundFile[] {
    this.isClosed = true;
    this.work = [];
    const lost = [...this.queued.keys()];
    for (const key of lost) this.forget(key);
    for (const key of lost) this.parts.onLost(key);
    this.parts.onGone(error);
    return [];
  }

  private count(key: string, bytes: number): void {
    this.written.set(key, bytes);
    this.bytes.written += bytes;
  }

  private do(work: Work): void {
    this.work.push(work);
    this.working ??= this.run();
  }

  private async run(): Promise<void> {
    await this.scanned;
    for (let next = this.work.shift(); next !== undefined; next = this.work.shift()) {
      if (next.kind === 'remove') await this.parts.files.remove(next.key);
      else if (this.queued.get(next.key) === next.block) await this.write(next.key, next.block);
    }
    this.working = null;
  }

  private async write(key: string, block: StoredBlock): Promise<void> {
    const isWritten = await this.parts.files.write(key, block).then(
      () => true,
      (error: unknown) => this.failed(error),
    );
    if (this.queued.get(key) !== block) return; // dropped or replaced: what removes or replaces the file comes
    this.queued.delete(key);
    this.bytes.queued -= sizeOf(block);
    if (isWritten) {
      this.took(key, block);
      return;
    }
    this.do({ kind: 'remove', key }); // the one before
    this.parts.onLost(key);
  }

  private took(key: string, block: StoredBlock): void {
    this.isFailing = false;
    this.count(key, sizeOf(block));
  }

  private failed(error: unknown): false {
    if (!this.isFailing) this.parts.onFailure(error);
    this.isFailing = true;
    return false;
  }

  /** False: it wasn't there. */
  private forget(key: string): boolean {
    const queued = this.queued.get(key);
    if (queued !== undefined) this.bytes.queued -= sizeOf(queued);
    this.bytes.written -= this.written.get(key) ?? 0;
    return [this.queued.delete(key), this.written.delete(key)].some(Boolean);
  }
}

const sizeOf = ({ bytes }: StoredBlock): number => bytes.byteLength + BLOCK_FILE_HEADER_BYTES;
