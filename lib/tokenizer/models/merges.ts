/** Which neighbours of a word become one token, and which of them first. */
import { PairTable } from './pair_table.js';

/** The order in which pairs of tokens are merged. */
export interface Merges {
  /** When the pair is merged, lower is earlier; -1: never. Below 2^21. */
  rankOf(left: number, right: number): number;
  /** The token of a pair with this rank. */
  idOf(rank: number): number;
}

/** Merges of a list, in its order: tokenizer.json. */
export class ListedMerges implements Merges {
  private readonly ranks: PairTable;
  private readonly ids: Int32Array;

  /** @param merges left, right and what they become, pair after pair */
  constructor(merges: Int32Array) {
    const count = merges.length / 3;
    this.ranks = new PairTable(count);
    this.ids = new Int32Array(count);
    for (let rank = 0; rank < count; rank++) {
      this.ranks.set(merges[3 * rank]!, merges[3 * rank + 1]!, rank);
      this.ids[rank] = merges[3 * rank + 2]!;
    }
  }

  rankOf(left: number, right: number): number {
    return this.ranks.get(left, right);
  }

  idOf(rank: number): number {
    return this.ids[rank]!;
  }
}

/** Every pair that spells a token together is merged, in the order of these tokens: rank files of tiktoken, SentencePiece's BPE. */
export class SpelledMerges implements Merges {
  /** Tokens for bytes and for what is unknown are not among them. */
  private readonly spelled: string[] = [];
  private readonly ranks = new Map<string, number>();

  /** @param vocab ids by spelling @param order ids of what pairs may become, first come first */
  constructor(
    vocab: ReadonlyMap<string, number>,
    private readonly order: readonly number[],
  ) {
    for (const [text, id] of vocab) this.spelled[id] = text;
    order.forEach((id, rank) => this.ranks.set(this.spelled[id]!, rank));
  }

  rankOf(left: number, right: number): number {
    const [first, second] = [this.spelled[left], this.spelled[right]];
    return first === undefined || second === undefined ? -1 : (this.ranks.get(first + second) ?? -1);
  }

  idOf(rank: number): number {
    return this.order[rank]!;
  }
}

/** Room for a rank above a place in a word, in one number. */
const PLACES = 2 ** 31;

/** Merges the tokens of a word until no pair is left: always the pair of lowest rank, of several the leftmost. */
export class WordMerger {
  private ids = new Int32Array(64);
  private previous = new Int32Array(64);
  private next = new Int32Array(64);
  /** Rank of the pair that begins at a place; -1: none. */
  private ranks = new Int32Array(64);
  private readonly queue = new MinQueue();

  constructor(private readonly merges: Merges) {}

  /** @param start where in `ids` the word begins; what it becomes stands there afterwards, and the list ends with it */
  merge(ids: number[], start: number): void {
    const count = ids.length - start;
    if (count < 2) return;
    this.fill(ids, start, count);
    while (this.queue.size > 0) this.mergeNext();
    let end = start;
    for (let place = 0; place < count; place = this.next[place]!) ids[end++] = this.ids[place]!;
    ids.length = end;
  }

  private fill(ids: readonly number[], start: number, count: number): void {
    if (count > this.ids.length) this.grow(count);
    for (let place = 0; place < count; place++) {
      this.ids[place] = ids[start + place]!;
      this.previous[place] = place - 1;
      this.next[place] = place + 1;
    }
    this.count = count;
    for (let place = 0; place < count; place++) this.look(place);
  }

  private count = 0;

  private mergeNext(): void {
    const first = this.queue.pop();
    const rank = Math.floor(first / PLACES);
    const place = first - rank * PLACES;
    if (this.ranks[place] !== rank) return; // its pair is another by now
    const right = this.next[place]!;
    const after = this.next[right]!;
    this.ids[place] = this.merges.idOf(rank);
    this.ranks[right] = -1;
    this.next[place] = after;
    if (after < this.count) this.previous[after] = place;
    this.look(place);
    if (this.previous[place]! >= 0) this.look(this.previous[place]!);
  }

  /** Queues the pair that begins at a place. */
  private look(place: number): void {
    const right = this.next[place]!;
    const rank = right < this.count ? this.merges.rankOf(this.ids[place]!, this.ids[right]!) : -1;
    this.ranks[place] = rank;
    if (rank >= 0) this.queue.push(rank * PLACES + place);
  }

  private grow(count: number): void {
    const size = 2 ** Math.ceil(Math.log2(count));
    this.ids = new Int32Array(size);
    this.previous = new Int32Array(size);
    this.next = new Int32Array(size);
    this.ranks = new Int32Array(size);
  }
}

/** A binary heap of numbers. */
class MinQueue {
  private values = new Float64Array(64);
  size = 0;

  push(value: number): void {
    if (this.size === this.values.length) this.grow();
    const { values } = this;
    let place = this.size++;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (values[parent]! <= value) break;
      values[place] = values[parent]!;
      place = parent;
    }
    values[place] = value;
  }

  /** The smallest; the queue isn't empty. */
  pop(): number {
    const { values } = this;
    const smallest = values[0]!;
    const last = values[--this.size]!;
    let place = 0;
    for (let child = 1; child < this.size; child = 2 * place + 1) {
      if (child + 1 < this.size && values[child + 1]! < values[child]!) child++;
      if (values[child]! >= last) break;
      values[place] = values[child]!;
      place = child;
    }
    values[place] = last;
    return smallest;
  }

  private grow(): void {
    const larger = new Float64Array(2 * this.values.length);
    larger.set(this.values);
    this.values = larger;
  }
}
