/** What is to change in a job when no step runs: who joins, begins to leave, goes, or holds no experts any more. No clocks, no links. */
import type { EngineError } from '../protocol/errors.js';
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

interface Wisher {
  readonly wish: Wish;
  readonly rank: number;
  resolve(): void;
  reject(error: EngineError): void;
}

/** Gathered until the next planned epoch. */
export class Wishes {
  private wishers: readonly Wisher[] = [];

  /** Resolves when the epoch has begun that brings it, at once where it is so already, and when it was taken back. Nobody needs to hear of a rejection. */
  add(wish: Wish, rank: number, members: Members): Promise<void> {
    this.answer(
      (each) => each.rank === rank && each.wish === OPPOSITES[wish],
      (each) => each.resolve(),
    );
    if (!isOpen(wish, rank, members)) return Promise.resolve();
    const begun = new Promise<void>((resolve, reject) => {
      this.wishers = [...this.wishers, { wish, rank, resolve, reject }];
    });
    begun.catch(() => undefined);
    return begun;
  }

  /** What is to change; null: nothing. Somebody stays. */
  changeOf(members: Members): MembersChange | null {
    const change: Partial<Record<Wish, number[]>> = {};
    let numStaying = members.present.size;
    for (const { wish, rank } of this.wishers) {
      const ranks = (change[wish] ??= []);
      if (ranks.includes(rank) || (wish === 'left' && numStaying === 1)) continue;
      if (wish === 'left') numStaying--;
      ranks.push(rank);
    }
    const asked = Object.entries(change).filter(([, ranks]) => ranks.length > 0);
    return asked.length === 0 ? null : Object.fromEntries(asked);
  }

  /** Nobody may wish for that any more. */
  refuse(wish: Wish, error: EngineError): void {
    this.answer(
      (each) => each.wish === wish,
      (each) => each.reject(error),
    );
  }

  /** How many wait to be members. */
  get numJoining(): number {
    return this.wishers.filter(({ wish }) => wish === 'joined').length;
  }

  /** An epoch has begun: what it made true is wished for no more. */
  enter(members: Members): void {
    this.answer(
      (each) => !isOpen(each.wish, each.rank, members),
      (each) => each.resolve(),
    );
  }

  /** A rank is gone, and what was wished for with it. */
  forget(rank: number, error: EngineError): void {
    this.answer(
      (each) => each.rank === rank,
      (each) => each.reject(error),
    );
  }

  /** Nothing changes any more. */
  fail(error: EngineError): void {
    this.answer(
      () => true,
      (each) => each.reject(error),
    );
  }

  private answer(which: (wisher: Wisher) => boolean, how: (wisher: Wisher) => void): void {
    const answered = this.wishers.filter(which);
    this.wishers = this.wishers.filter((wisher) => !answered.includes(wisher));
    answered.forEach(how);
  }
}

/** Whether something would change. */
function isOpen(wish: Wish, rank: number, { present, leaving, demoted }: Members): boolean {
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
