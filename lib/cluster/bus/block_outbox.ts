/** What is to be told of an instance's blocks, in batches: all of them where somebody wants that, and then what changed. */
import type { BlockChanges, StoredBlocks } from '../../head/scheduling/blocks/stored_blocks.js';
import { MAX_BATCH_KEYS, type BlockEvent, type BlockKey } from '../base/block_events.js';

/** Batches wait here until they are told, one after the other; what changes meanwhile is told behind them, and its number is bounded by that of blocks. */
export class BlockOutbox {
  private waiting: (readonly BlockEvent[])[] = [];

  constructor(private readonly blocks: StoredBlocks) {}

  /** All blocks are told anew, instead of what waits. */
  putAll(): void {
    this.waiting = batchesOf([], this.blocks.takeAll());
    this.waiting[0] = [{ kind: 'cleared' }, ...(this.waiting[0] ?? [])];
  }

  /** The next batch; undefined: there is nothing to tell. */
  take(): readonly BlockEvent[] | undefined {
    if (this.waiting.length === 0) this.waiting = changesOf(this.blocks.take());
    return this.waiting.shift();
  }

  /** Batches that wait since all blocks are told. */
  get isBusy(): boolean {
    return this.waiting.length > 0;
  }
}

const changesOf = ({ removed, stored }: BlockChanges): (readonly BlockEvent[])[] => batchesOf(removed, stored);

function batchesOf(removed: readonly string[], stored: readonly string[]): (readonly BlockEvent[])[] {
  const events = [...chunksOf('removed', removed), ...chunksOf('stored', stored)];
  return events.map((event) => [event]);
}

function chunksOf(kind: 'stored' | 'removed', keys: readonly string[]): BlockEvent[] {
  const numChunks = Math.ceil(keys.length / MAX_BATCH_KEYS);
  return Array.from({ length: numChunks }, (_, i) => {
    const from = i * MAX_BATCH_KEYS;
    return { kind, keys: keys.slice(from, from + MAX_BATCH_KEYS).map(hexOf) };
  });
}

/** Of a character per byte (stored_blocks.ts). */
const hexOf = (key: string): BlockKey => Buffer.from(key, 'binary').toString('hex');
