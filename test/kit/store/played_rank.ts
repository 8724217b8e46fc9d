/** A rank's cache as its store sees it, and what the store says: blocks by number. */
import { nothingIn } from '../../../lib/model/decoder/block_bytes.js';
import type { KeyedBlock, LiftReport, StoreNews, StoreOrder } from '../../../lib/protocol/kv_store.js';
import { BLOCK_FILE_HEADER_BYTES, type KvStorePlan } from '../../../lib/protocol/kv_store_plan.js';
import type { StoredBlock } from '../../../lib/rank/store/block_file.js';
import { RankStore } from '../../../lib/rank/store/rank_store.js';
import type { PlayedFiles } from './played_files.js';
import { keyOf, SIZES, storedBlock } from './stored_blocks.js';

export interface PlayedRankOptions {
  /** Blocks without a state. Default null: there is no such tier. */
  readonly ram?: number | null;
  /** Default null: there is no such tier. */
  readonly disk?: number | null;
  /** Default null: the disk couldn't be had. */
  readonly files?: PlayedFiles | null;
  readonly notice?: string;
  /** Blocks that wait for the disk, at most. Default: a rank's own. */
  readonly maxQueued?: number;
}

/** Of block `block`, unless told otherwise, key `block`. */
export const keyed = (...blocks: readonly number[]): KeyedBlock[] =>
  blocks.map((block) => ({ block, key: keyOf(String(block)) }));
export const keysOf = (...blocks: readonly number[]): string[] => blocks.map((block) => keyOf(String(block)));

export class PlayedRank {
  readonly store: RankStore;
  readonly cache = new Map<number, Uint8Array>();
  /** What it said, in order: blocks by number. */
  readonly said: string[] = [];
  /** Blocks that were read out of the cache. */
  numRead = 0;
  private wake: () => void = () => undefined;
  /** What the cache's write throws. */
  failure: Error | null = null;

  constructor({ ram = null, disk = null, files = null, notice, maxQueued }: PlayedRankOptions) {
    const { rowBytes } = SIZES;
    const plan: KvStorePlan = {
      ...{ ...SIZES, ramBytes: ram === null ? null : ram * rowBytes },
      disk:
        disk === null ? null : { path: '/kv', identity: 'i', maxBytes: disk * (rowBytes + BLOCK_FILE_HEADER_BYTES) },
    };
    const cache = {
      read: (block: number): Promise<Uint8Array<ArrayBuffer>> => {
        const bytes = this.cache.get(block);
        this.numRead++;
        return bytes === undefined ? Promise.reject(nothingIn(block)) : Promise.resolve(bytes.slice());
      },
      write: (block: number, bytes: Uint8Array): void => {
        if (this.failure !== null) throw this.failure;
        this.cache.set(block, bytes.slice());
      },
    };
    const onLifted = ({ load, numBlocks, payloadBytes, lost }: LiftReport): void =>
      this.says([`load ${load}: ${numBlocks} blocks, ${payloadBytes} bytes${lostText(lost)}`]);
    const onNews = ({ found, lost, notice: line, gone }: StoreNews): void => {
      const names = found.map(({ key, hasState }) => `${nameOf(key)}${hasState ? ' with a state' : ''}`);
      this.says([
        ...(found.length > 0 ? [`found ${names.join()}`] : []),
        ...(lost.length > 0 ? [lostText(lost).slice(2)] : []),
        ...(line === undefined ? [] : [line]),
        ...(gone ?? []).map((tier) => `no ${tier}`),
      ]);
    };
    const most = SIZES.rowBytes + SIZES.stateBytes + BLOCK_FILE_HEADER_BYTES;
    const queue = maxQueued === undefined ? {} : { maxQueuedBytes: maxQueued * most };
    this.store = new RankStore({ plan, cache, files, notice, onLifted, onNews, ...queue });
  }

  /** Computes blocks, and has them kept and forgotten; those of `withState` with a state. */
  keep(blocks: readonly number[], withState: readonly number[] = []): void {
    for (const block of blocks) this.cache.set(block, contentOf(block, withState.includes(block)).bytes);
    this.store.keep(keyed(...blocks));
    for (const block of blocks) this.cache.delete(block);
  }

  obey(order: StoreOrder): void {
    this.store.obey(order);
  }

  /** Into blocks of the same numbers. */
  load(load: number, ...blocks: readonly number[]): void {
    this.obey({ kind: 'load', order: { load, blocks: keyed(...blocks) } });
  }

  /** What of these the tiers have, all that was ordered done: by number. */
  async has(...blocks: readonly number[]): Promise<number[]> {
    const stored = await Promise.all(blocks.map((block) => this.store.read(keysOf(block)[0]!)));
    return blocks.filter((_, i) => stored[i] !== null);
  }

  private says(lines: readonly string[]): void {
    this.said.push(...lines);
    this.wake();
  }

  /** Until it said so much. */
  async hears(numLines: number): Promise<readonly string[]> {
    while (this.said.length < numLines) await new Promise<void>((resolve) => (this.wake = resolve));
    return this.said;
  }
}

/** What block `block` holds. */
export const contentOf = (block: number, hasState = false): StoredBlock => storedBlock(block, hasState);

const NAMES = new Map(Array.from({ length: 100 }, (_, block) => [keyOf(String(block)), String(block)]));
const nameOf = (key: string): string => NAMES.get(key) ?? 'another';
const lostText = (lost: readonly string[]): string => (lost.length === 0 ? '' : `, lost ${lost.map(nameOf).join()}`);
