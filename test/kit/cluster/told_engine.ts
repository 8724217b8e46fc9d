/** An engine of which only is told: its load and its blocks are what a test says. */
import type { SequenceLoad } from '../../../lib/head/scheduling/sequence_loads.js';
import { loadOf, type RankUse } from '../../../lib/head/scheduling/scheduler_load.js';
import { StoredBlocks } from '../../../lib/head/scheduling/blocks/stored_blocks.js';
import type { EngineObserver } from '../../../lib/head/watchers.js';
import type { ToldEngine } from '../../../lib/cluster/bus/instance_teller.js';

export class PlayedToldEngine implements ToldEngine {
  readonly storedBlocks = new StoredBlocks();
  readonly observers = new Set<EngineObserver>();
  sequences: SequenceLoad[] = [];
  numWaiting = 0;
  numPrefillTokens = 0;
  ranks: RankUse[] = [0, 1].map((rank) => ({
    ...{
      rank,
      numRunning: rank,
      numKvBlocks: 32,
      numUsedBlocks: 3 + rank,
      numCachedBlocks: 5,
      numPinnedBlocks: 0,
      tiers: [],
      numPrefillTokens: 0,
    },
  }));

  get load(): ToldEngine['load'] {
    return loadOf(this.numWaiting, this.ranks);
  }

  sequenceLoads(most: number): ReturnType<ToldEngine['sequenceLoads']> {
    return { numPrefillTokens: this.numPrefillTokens, sequences: this.sequences.slice(0, most) };
  }

  isMovable(sequence: number): boolean {
    return sequence === 0;
  }

  watch(observer: EngineObserver): () => void {
    this.observers.add(observer);
    return () => void this.observers.delete(observer);
  }

  /** Blocks are named by numbers, as in members.ts. */
  store(...numbers: readonly number[]): void {
    for (const number of numbers) this.storedBlocks.add(keyOf(number));
  }

  remove(...numbers: readonly number[]): void {
    for (const number of numbers) this.storedBlocks.remove(keyOf(number));
  }

  /** As if a step had ended. */
  step(step: Parameters<NonNullable<EngineObserver['step']>>[0] = { plans: [], stepMs: 1 } as never): void {
    for (const observer of this.observers) observer.step?.(step);
  }
}

/** 32 bytes, as block_keys.ts makes them; the first 8 are the number. */
const keyOf = (number: number): string => {
  const bytes = Buffer.alloc(32);
  bytes.writeBigUInt64BE(BigInt(number));
  return bytes.toString('binary');
};
