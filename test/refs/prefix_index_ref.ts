import type { BlockBatch, BlockEvent, BlockKey } from '../../lib/cluster/base/block_events.js';

/** An instance's cache as it really is, after each batch that it told. */
export class ToldCache {
  /** By sequence number. */
  readonly history: ReadonlySet<BlockKey>[] = [];
  readonly batches: BlockBatch[] = [];

  constructor(
    readonly instance: string,
    readonly incarnation: string,
  ) {}

  /** What happened since the last batch. */
  tell(events: readonly BlockEvent[]): BlockBatch {
    const { instance, incarnation } = this;
    const now = new Set(this.history.at(-1));
    for (const event of events) {
      if (event.kind === 'cleared') now.clear();
      else for (const key of event.keys) now[event.kind === 'stored' ? 'add' : 'delete'](key);
    }
    const batch = { instance, incarnation, sequence: this.history.length, events };
    this.history.push(now);
    this.batches.push(batch);
    return batch;
  }

  /** All that it has after the batch that it told last. */
  snapshot(): BlockBatch {
    const { instance, incarnation } = this;
    const stored: BlockEvent = { kind: 'stored', keys: [...(this.history.at(-1) ?? [])] };
    return { instance, incarnation, sequence: this.history.length - 1, events: [{ kind: 'cleared' }, stored] };
  }
}

/** What may be known of one: its cache as it was after some batch, or nothing. */
export class PrefixIndexRef {
  /** −1: nothing was told yet; null: batches are missing. */
  private at: number | null = -1;

  constructor(private readonly cache: ToldCache) {}

  /** A batch came. */
  hear({ sequence, events, incarnation }: BlockBatch): void {
    if (incarnation !== this.cache.incarnation) return;
    if (this.at !== null && sequence <= this.at) return;
    if (events[0]?.kind === 'cleared' || (this.at !== null && sequence === this.at + 1)) this.at = sequence;
    else this.at = null;
  }

  /** How many of a prompt's first blocks it has. */
  numMatching(keys: readonly BlockKey[]): number {
    const known = this.at === null ? undefined : this.cache.history[this.at];
    const missing = keys.findIndex((key) => known?.has(key) !== true);
    return missing < 0 ? keys.length : missing;
  }
}
