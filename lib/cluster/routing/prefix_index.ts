/** Which blocks of prompts instances have in their prefix caches, as they tell. Why: docs/decisions/cluster.md#a-key-stands-for-all-tokens-before-it */
import type { BlockBatch, BlockEvent, BlockKey } from '../base/block_events.js';
import type { PromptBlocks } from './pool/named_blocks.js';

/**
 * What became of a batch. `late`: it tells of what was known, or of an incarnation that is over; `gap`: batches before it are missing, so that nothing is known of
 * the instance until a batch begins with `cleared`; `unknown`: no such instance was added.
 */
export type BatchFate = 'applied' | 'late' | 'gap' | 'unknown';

interface Told {
  readonly incarnation: string;
  readonly keys: Set<BlockKey>;
  /** The sequence number of the next batch; null: batches are missing. */
  next: number | null;
}

/** Never knows a block that was told to be gone. */
export class PrefixIndex {
  private readonly told = new Map<string, Told>();
  private numKeys = 0;
  private dropped = 0;

  /** @param maxBlocks of all instances together: what comes beyond them isn't known, so that their tokens count as computed nowhere */
  constructor(private readonly maxBlocks: number) {}

  /** Blocks that are known, of all instances together. */
  get size(): number {
    return this.numKeys;
  }

  /** Blocks that there was no room for. */
  get numDropped(): number {
    return this.dropped;
  }

  /** An instance is there that has nothing yet, or begins anew. */
  add(instance: string, incarnation: string): void {
    if (this.told.get(instance)?.incarnation === incarnation) return;
    this.remove(instance);
    this.told.set(instance, { incarnation, keys: new Set(), next: 0 });
  }

  /** It is gone, and all that it had. */
  remove(instance: string): void {
    const told = this.told.get(instance);
    if (told !== undefined) this.forgetKeys(told);
    this.told.delete(instance);
  }

  /** Batches of an instance that nobody can tell are missing: nothing is known of it until one begins with `cleared`. */
  lose(instance: string): void {
    const told = this.told.get(instance);
    if (told === undefined) return;
    this.forgetKeys(told);
    told.next = null;
  }

  /** In order of their coming. A batch that begins with `cleared` stands for all before it. */
  apply({ instance, incarnation, sequence, events }: BlockBatch): BatchFate {
    const told = this.told.get(instance);
    if (told === undefined) return 'unknown';
    if (told.incarnation !== incarnation) return 'late';
    const isWhole = events[0]?.kind === 'cleared';
    const { next } = told;
    // The last one again changes nothing; a snapshot in several parts has the number of the last batch that it stands for in all of them.
    if (next !== null && sequence < next - 1) return 'late';
    if (!isWhole && (next === null || sequence > next)) {
      this.lose(instance);
      return 'gap';
    }
    for (const event of events) this.obey(told, event);
    told.next = sequence + 1;
    return 'applied';
  }

  /** How many of a prompt's first blocks an instance has. */
  numMatching(instance: string, blocks: PromptBlocks): number {
    const keys = this.told.get(instance)?.keys;
    let count = 0;
    while (keys !== undefined && count < blocks.numBlocks && keys.has(blocks.at(count))) count++;
    return count;
  }

  private obey(told: Told, event: BlockEvent): void {
    switch (event.kind) {
      case 'cleared':
        return this.forgetKeys(told);
      case 'stored':
        for (const key of event.keys) this.store(told, key);
        return;
      case 'removed':
        for (const key of event.keys) if (told.keys.delete(key)) this.numKeys--;
    }
  }

  private store(told: Told, key: BlockKey): void {
    if (told.keys.has(key)) return;
    if (this.numKeys === this.maxBlocks) {
      this.dropped++;
      return;
    }
    told.keys.add(key);
    this.numKeys++;
  }

  private forgetKeys(told: Told): void {
    this.numKeys -= told.keys.size;
    told.keys.clear();
  }
}
