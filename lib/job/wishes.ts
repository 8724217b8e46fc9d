/** What is to change in a job when no step runs: who joins, begins to leave, goes, or holds no experts any more. Pure. */
import type { Members, MembersChange } from './members.js';

/** What may be planned for a rank. */
export type Wish = Exclude<keyof MembersChange, 'lost'>;

/** Those that take each other back: the last one counts. */
const OPPOSITES: Readonly<Partial<Record<Wish, Wish>>> = {
  leaving: 'staying',
  staying: 'leaving',
  demoted: 'promoted',
  promoted: 'demoted',
};

/** Gathered until the next planned epoch. */
export class Wishes {
  private readonly all: { readonly wish: Wish; readonly rank: number }[] = [];

  /** Nothing comes of it where that is so already. */
  add(wish: Wish, rank: number): void {
    this.drop((each) => each.rank === rank && (each.wish === wish || each.wish === OPPOSITES[wish]));
    this.all.push({ wish, rank });
  }

  /** A rank is gone, and what was wished for with it. */
  forget(rank: number): void {
    this.drop((each) => each.rank === rank);
  }

  /** What is to change; null: nothing. Somebody stays. */
  changeOf(members: Members): MembersChange | null {
    const change: Partial<Record<Wish, number[]>> = {};
    let numStaying = members.present.size;
    for (const { wish, rank } of this.all) {
      if (!isOpen(wish, rank, members)) continue;
      if (wish === 'left' && --numStaying === 0) continue;
      (change[wish] ??= []).push(rank);
    }
    return Object.keys(change).length === 0 ? null : change;
  }

  private drop(which: (each: { readonly wish: Wish; readonly rank: number }) => boolean): void {
    this.all.splice(0, Infinity, ...this.all.filter((each) => !which(each)));
  }
}

/** Whether something would change. */
export function isOpen(wish: Wish, rank: number, { present, leaving, demoted }: Members): boolean {
  switch (wish) {
    case 'joined':
      return !present.has(rank);
    case 'leaving':
      return present.has(rank) && !leaving.has(rank);
    case 'staying':
      return leaving.has(rank);
    case 'left':
      return present.has(rank);
    case 'demoted':
      return present.has(rank) && !demoted.has(rank);
    case 'promoted':
      return demoted.has(rank);
  }
}
