/** Which two ranks are linking up, and how far they are. Pure. Why: docs/decisions/elastic.md#a-ticket-for-each-pair */
import type { Rank } from '../../base/ids.js';

/** How often a pair tries: one of the two may have been busy, or about to be lost. */
const MAX_TRIES = 3;

interface Pair {
  readonly ranks: readonly [Rank, Rank];
  readonly numTries: number;
  readonly ticket: string;
  /** Who says that frames travel. */
  readonly linked: Set<Rank>;
}

/** Pairs of ranks whose link isn't there yet. Words about an older ticket change nothing. */
export class Pairs {
  private readonly open = new Map<string, Pair>();

  /** Both are to link up, with this ticket from now on. */
  begin(a: Rank, b: Rank, ticket: string): void {
    const numTries = (this.open.get(idOf(a, b))?.numTries ?? 0) + 1;
    this.open.set(idOf(a, b), { ranks: [a, b], numTries, ticket, linked: new Set() });
  }

  /** One of the two says that it is linked; when both did, the pair is done. */
  linked(from: Rank, other: Rank, ticket: string): void {
    const pair = this.pairOf(from, other, ticket);
    if (pair?.linked.add(from).size === 2) this.open.delete(idOf(from, other));
  }

  /** One of the two says that it can't link up. What follows: they try again with a new ticket, or not any more; null: nothing, since that try is over. */
  failed(from: Rank, other: Rank, ticket: string): 'try_again' | 'give_up' | null {
    const pair = this.pairOf(from, other, ticket);
    if (pair === undefined) return null;
    return pair.numTries < MAX_TRIES ? 'try_again' : 'give_up';
  }

  /** With whom a rank isn't linked yet. */
  openWith(rank: Rank): Rank[] {
    const pairs = [...this.open.values()].filter(({ ranks }) => ranks.includes(rank));
    return pairs.flatMap(({ ranks }) => ranks.filter((other) => other !== rank));
  }

  /** A rank is gone, and with it its pairs. */
  forget(rank: Rank): void {
    for (const [id, { ranks }] of this.open) if (ranks.includes(rank)) this.open.delete(id);
  }

  private pairOf(from: Rank, other: Rank, ticket: string): Pair | undefined {
    const pair = this.open.get(idOf(from, other));
    return pair?.ticket === ticket ? pair : undefined;
  }
}

const idOf = (a: Rank, b: Rank): string => `${Math.min(a, b)} ${Math.max(a, b)}`;
