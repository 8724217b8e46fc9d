/** A job whose ranks are numbers: what happens to it is a list, and a test says when each thing is over. */
import { EngineError } from '../../../lib/protocol/errors.js';
import type { ElasticJob, ElasticWork } from '../../../lib/head/elastic/elastic.js';

/** Resolves at once, unless a test holds it up. */
interface Held {
  readonly what: string;
  resolve(): void;
  reject(error: Error): void;
}

export class PlayedElasticJob implements ElasticJob, ElasticWork {
  readonly present: Set<number>;
  readonly leaving = new Set<number>();
  readonly demoted = new Set<number>();
  epoch = 0;
  spares: readonly number[] = [];
  moved = { numMovedExperts: 0, numMovedSequences: 0, numRecomputed: 0 };
  /** What was asked, in order. */
  readonly story: string[] = [];
  /** What begins with these words waits for {@link release} or {@link refuse}. */
  holds: readonly string[] = [];
  private readonly held: Held[] = [];

  constructor(
    numRanks: number,
    readonly numSeats: number,
  ) {
    this.present = new Set(Array(numRanks).keys());
  }

  get members(): this {
    return this;
  }

  async recruit(signal: AbortSignal): Promise<number> {
    await this.tell('recruit', signal);
    const seat = [...Array(this.numSeats).keys()].find((each) => !this.present.has(each));
    if (seat === undefined) throw new EngineError('INVALID_REQUEST', 'no seat is free; start with more');
    this.present.add(seat);
    this.epoch++;
    return seat;
  }

  async setLeaving(rank: number, isLeaving: boolean): Promise<void> {
    await this.tell(isLeaving ? `leaving ${rank}` : `staying ${rank}`);
    this.epoch++;
    if (isLeaving && this.present.has(rank)) this.leaving.add(rank);
    else this.leaving.delete(rank);
  }

  async retire(rank: number): Promise<void> {
    await this.tell(`retire ${rank}`);
    this.lose(rank);
  }

  async spread(signal: AbortSignal): Promise<void> {
    await this.tell(`spread over ${[...this.present].filter((rank) => !this.leaving.has(rank)).join()}`, signal);
    this.moved = { ...this.moved, numMovedExperts: this.moved.numMovedExperts + 10 };
  }

  async drain(rank: number, signal: AbortSignal): Promise<void> {
    await this.tell(`drain ${rank}`, signal);
    const { numMovedSequences, numRecomputed } = this.moved;
    this.moved = { ...this.moved, numMovedSequences: numMovedSequences + 2, numRecomputed: numRecomputed + 1 };
  }

  keep(rank: number, reason: string): void {
    this.story.push(`keep ${rank}: ${reason}`);
  }

  lose(rank: number): void {
    this.present.delete(rank);
    this.leaving.delete(rank);
    this.epoch++;
  }

  /** Resolves when this was asked and waits. */
  async untilHeld(what: string): Promise<void> {
    while (!this.isHeld(what)) await new Promise(setImmediate);
  }

  isHeld(what: string): boolean {
    return this.held.some((each) => each.what === what);
  }

  release(what: string): void {
    this.take(what).resolve();
  }

  refuse(what: string, error: Error): void {
    this.take(what).reject(error);
  }

  private take(what: string): Held {
    const [found] = this.held.splice(
      this.held.findIndex((each) => each.what === what),
      1,
    );
    return found!;
  }

  private async tell(what: string, signal?: AbortSignal): Promise<void> {
    this.story.push(what);
    if (!this.holds.some((start) => what.startsWith(start))) return Promise.resolve();
    await new Promise<void>((resolve, reject) => {
      const one = { what, resolve, reject };
      this.held.push(one);
      const giveUp = (): void => {
        if (this.held.includes(one)) this.held.splice(this.held.indexOf(one), 1);
        reject(signal!.reason as Error);
      };
      signal?.addEventListener('abort', giveUp, { once: true });
    });
  }
}
