/** What a router knows of instances' caches: what they told, or else what was sent there. */
import type { BlockBatch } from '../base/block_events.js';
import type { InstanceRecord } from '../base/instance_record.js';
import { ApproximateIndex, type ApproximateIndexOptions } from './approximate_index.js';
import { PrefixIndex, type BatchFate } from './prefix_index.js';
import type { PromptKeys } from './prompt_keys.js';
import type { PromptBlocks } from './pool/named_blocks.js';

/** How it knows. */
export interface KnownCachesOptions extends ApproximateIndexOptions {
  /** Instances' events say what they have cached; otherwise what was sent there does. */
  readonly usesEvents: boolean;
}

/** Of all instances. */
export class KnownCaches {
  private readonly index: PrefixIndex;
  private readonly approximate: ApproximateIndex;
  private readonly incarnations = new Map<string, string>();

  constructor(private readonly options: KnownCachesOptions) {
    this.index = new PrefixIndex(options.maxBlocks);
    this.approximate = new ApproximateIndex(options);
  }

  /** An instance is there, or tells something new of itself. */
  join({ id, incarnation }: InstanceRecord): void {
    this.index.add(id, incarnation);
    if (this.incarnations.get(id) !== incarnation) this.approximate.remove(id);
    this.incarnations.set(id, incarnation);
  }

  /** It is gone, and all that it had. */
  leave(id: string): void {
    this.index.remove(id);
    this.approximate.remove(id);
    this.incarnations.delete(id);
  }

  /** What came to an instance's caches, and what went. */
  apply(batch: BlockBatch): BatchFate {
    return this.options.usesEvents ? this.index.apply(batch) : 'late';
  }

  /** Batches of an instance were lost: it counts as having nothing until one begins with `cleared`. */
  lose(id: string): void {
    this.index.lose(id);
  }

  /** A prompt went to an instance. */
  sent(record: InstanceRecord, prompt: PromptKeys, nowMs: number): void {
    if (!this.tells(record, prompt)) this.approximate.add(record.id, prompt.of(record), nowMs);
  }

  /** How many of a prompt's first blocks an instance has, as it told, or should have by what was sent there. */
  numCached(record: InstanceRecord, prompt: PromptKeys, nowMs: number): number {
    if (this.tells(record, prompt)) return this.numTold(record, prompt);
    return this.approximate.numMatching(record.id, prompt.of(record), nowMs);
  }

  /** Those that an instance told itself that it has: others can be sent for them. */
  numTold(record: InstanceRecord, prompt: PromptKeys): number {
    return this.tells(record, prompt) ? this.numHeld(record.id, prompt.of(record)) : 0;
  }

  /** The same of blocks, whoever asks for them. */
  numHeld(id: string, blocks: PromptBlocks): number {
    return this.index.numMatching(id, blocks);
  }

  private tells({ kind }: InstanceRecord, { hasTokens }: PromptKeys): boolean {
    return this.options.usesEvents && kind === 'own' && hasTokens;
  }
}
