/** What ranks are to be told of blocks that they forget. Why: docs/decisions/kv_store.md#what-is-told-keeps-its-order */
import type { StoreOrder } from '../../protocol/kv_store.js';
import type { FreeOrder } from '../../protocol/step_plan.js';
import { storeOrdersOf, type KeyOrder } from '../kv/store_orders.js';

/** What a rank is to forget. */
export interface Freed extends FreeOrder {
  readonly rank: number;
  /** What becomes of its tiers before that: what they are to keep finds room. Default: nothing. */
  readonly orders?: readonly StoreOrder[];
}

/** Of one rank. */
interface Chunk {
  readonly orders: KeyOrder[];
  /** Keys of what is kept. */
  readonly kept: Set<string>;
  readonly free: { readonly [Key in keyof Required<FreeOrder>]: Required<FreeOrder>[Key][number][] };
}

type Entry = { readonly rank: number } & ({ readonly free: Partial<FreeOrder> } | { readonly order: KeyOrder });

/** Gathered until somebody tells the ranks. */
export class FreedLog {
  private entries: Entry[] = [];

  /** A rank forgets this. */
  add(rank: number, free: Partial<FreeOrder>): void {
    this.entries.push({ rank, free });
  }

  /** This becomes of a rank's tiers. */
  order(rank: number, orders: readonly KeyOrder[]): void {
    for (const order of orders) this.entries.push({ rank, order });
  }

  /** Ranks that are gone needn't be told. */
  enter(present: ReadonlySet<number>): void {
    this.entries = this.entries.filter(({ rank }) => present.has(rank));
  }

  /** Since the last call; of each rank as few messages as can be. */
  take(): Freed[] {
    const byRank = new Map<number, Chunk[]>();
    for (const entry of this.entries) {
      const chunks = byRank.get(entry.rank) ?? [newChunk()];
      byRank.set(entry.rank, chunks);
      if ('order' in entry) addOrder(chunks, entry.order);
      else addFree(chunks, entry.free);
    }
    this.entries = [];
    const ranks = [...byRank].sort(([a], [b]) => a - b);
    return ranks.flatMap(([rank, chunks]) => chunks.map((chunk) => freedOf(rank, chunk)));
  }
}

/** Orders come before what is freed with them: one about a block that is kept only then begins anew. */
function addOrder(chunks: Chunk[], order: KeyOrder): void {
  if (chunks.at(-1)!.kept.has(order.key)) chunks.push(newChunk());
  chunks.at(-1)!.orders.push(order);
}

/** A block is kept as it is before anything is forgotten with it: one whose state went earlier is kept without. */
function addFree(chunks: Chunk[], { blocks = [], sequences = [], states = [], keep = [] }: Partial<FreeOrder>): void {
  const { states: gone } = chunks.at(-1)!.free;
  if (keep.some(({ block }) => gone.includes(block))) chunks.push(newChunk());
  const { free, kept } = chunks.at(-1)!;
  free.blocks.push(...blocks);
  free.sequences.push(...sequences);
  free.states.push(...states);
  free.keep.push(...keep);
  for (const { key } of keep) kept.add(key);
}

function freedOf(rank: number, { orders, free: { blocks, sequences, states, keep } }: Chunk): Freed {
  return {
    ...{ rank, blocks, sequences },
    ...(states.length > 0 && { states }),
    ...(keep.length > 0 && { keep }),
    ...(orders.length > 0 && { orders: storeOrdersOf(orders) }),
  };
}

const newChunk = (): Chunk => ({
  orders: [],
  kept: new Set(),
  free: { blocks: [], sequences: [], states: [], keep: [] },
});
