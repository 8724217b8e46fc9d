/** Orders for one member more, until somebody has joined for each. */
import type { LocalNewcomer } from './local_ranks.js';

/** Of an order. */
export interface Recruit {
  /** Started for it; null: a spare comes. */
  newcomer: LocalNewcomer | null;
  /** By so many it made more members wanted: none, where others were lost that nobody has replaced. */
  readonly numRaised: number;
  readonly signal: AbortSignal | undefined;
  /** Resolves with a seat when the epoch has begun in which its rank is a member. */
  readonly joined: Promise<number>;
}

interface Settled {
  resolve(rank: number): void;
  reject(error: unknown): void;
}

/** In the order in which they came. */
export class Recruits {
  private readonly waiting = new Map<Recruit, Settled>();

  /** An order is there. */
  add(newcomer: LocalNewcomer | null, numRaised: number, signal: AbortSignal | undefined): Recruit {
    let settled: Settled;
    const joined = new Promise<number>((resolve, reject) => (settled = { resolve, reject }));
    const recruit = { newcomer, numRaised, signal, joined };
    this.waiting.set(recruit, settled!);
    return recruit;
  }

  /** How many wait. */
  get size(): number {
    return this.waiting.size;
  }

  /** Those for which spares come. */
  get ofSpares(): readonly Recruit[] {
    return [...this.waiting.keys()].filter(({ newcomer }) => newcomer === null);
  }

  /** The one that a rank was started for. */
  find(isIt: (newcomer: LocalNewcomer) => boolean): Recruit | undefined {
    return [...this.waiting.keys()].find(({ newcomer }) => newcomer !== null && isIt(newcomer));
  }

  /** Somebody has joined: the first one need wait no more. */
  resolve(rank: number): void {
    const [first] = this.waiting;
    first?.[1].resolve(rank);
    if (first !== undefined) this.waiting.delete(first[0]);
  }

  /** Nobody will come for it. False: it waits no more. */
  reject(recruit: Recruit, why: unknown): boolean {
    this.waiting.get(recruit)?.reject(why);
    return this.waiting.delete(recruit);
  }

  /** Nobody comes for any of them. */
  fail(why: unknown): void {
    for (const recruit of [...this.waiting.keys()]) this.reject(recruit, why);
  }
}
