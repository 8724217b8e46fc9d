/** What instances that tell nothing are taken to have in their prefix caches: what was sent there lately. Why: docs/decisions/cluster.md#without-events-what-was-sent-counts */
import type { BlockKey } from '../base/block_events.js';
import type { PromptBlocks } from './pool/named_blocks.js';

/** How long and how much is remembered. */
export interface ApproximateIndexOptions {
  /** Since a prompt with the block was sent there last. */
  readonly ttlMs: number;
  /** Of all instances together: what was sent longest ago is forgotten. */
  readonly maxBlocks: number;
}

/** Time is what the caller says. */
export class ApproximateIndex {
  /** By instance: when each block is forgotten, the first one first; of a prompt the deepest blocks first, since those before them are worth more. */
  private readonly sent = new Map<string, Map<BlockKey, number>>();
  private numKeys = 0;

  constructor(private readonly options: ApproximateIndexOptions) {}

  /** Blocks that are remembered, of all instances together. */
  get size(): number {
    return this.numKeys;
  }

  /** A prompt went to an instance. */
  add(instance: string, blocks: PromptBlocks, nowMs: number): void {
    const { ttlMs, maxBlocks } = this.options;
    const keys = this.sent.get(instance) ?? new Map<BlockKey, number>();
    this.sent.set(instance, keys);
    for (let i = Math.min(blocks.numBlocks, maxBlocks) - 1; i >= 0; i--) {
      const key = blocks.at(i);
      if (!keys.delete(key)) this.numKeys++;
      keys.set(key, nowMs + ttlMs);
    }
    for (const each of this.sent.keys()) this.expire(each, nowMs);
    while (this.numKeys > maxBlocks) this.forgetOldest();
  }

  /** It is gone, and all that it had. */
  remove(instance: string): void {
    this.numKeys -= this.sent.get(instance)?.size ?? 0;
    this.sent.delete(instance);
  }

  /** How many of a prompt's first blocks an instance should have. */
  numMatching(instance: string, blocks: PromptBlocks, nowMs: number): number {
    const keys = this.sent.get(instance);
    let count = 0;
    while (keys !== undefined && count < blocks.numBlocks && keys.get(blocks.at(count))! > nowMs) count++;
    return count;
  }

  private expire(instance: string, nowMs: number): void {
    const keys = this.sent.get(instance)!;
    for (const [key, until] of keys) {
      if (until > nowMs) break;
      keys.delete(key);
      this.numKeys--;
    }
    if (keys.size === 0) this.sent.delete(instance);
  }

  private forgetOldest(): void {
    let oldest: { readonly keys: Map<BlockKey, number>; readonly key: BlockKey; readonly until: number } | null = null;
    for (const keys of this.sent.values()) {
      const [first] = keys;
      if (first === undefined || (oldest !== null && first[1] >= oldest.until)) continue;
      oldest = { keys, key: first[0], until: first[1] };
    }
    if (oldest?.keys.delete(oldest.key) === true) this.numKeys--;
  }
}
