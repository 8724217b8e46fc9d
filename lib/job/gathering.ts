/** While no step runs, ranks read experts that they take over; the head waits for all of them. Why: docs/decisions/losses.md#losses-that-are-made-good */
import { Deadline } from '../../comm/base/deadline.js';
import type { RemoteError } from '../../comm/base/errors.js';
import type { GatherReport } from '../protocol/step_plan.js';

/** A rank that couldn't take over all that it was to. */
export interface GatherFailure {
  readonly rank: number;
  readonly error: RemoteError;
  /** Experts that it has room for; null: room isn't what it lacks. */
  readonly room: number | null;
}

/** How a gather ended. `abandoned`: ranks came or went, who have dropped what was gathered. */
export type GatherOutcome =
  { readonly kind: 'done'; readonly failures: readonly GatherFailure[] } | { readonly kind: 'abandoned' };

/** Who gathers what. */
export interface GatheringOptions {
  /** Of the placement that it leads to. */
  readonly version: number;
  readonly ranks: Iterable<number>;
  /** Longest time without a word of a rank: how long an expert may take. */
  readonly timeoutMs: number;
  /** A rank has said nothing for so long. */
  readonly onLate: (rank: number) => void;
}

/** Until every rank has all it is to take over, or says why not. */
export class Gathering {
  readonly outcome: Promise<GatherOutcome>;
  private readonly failures: GatherFailure[] = [];
  /** By rank that isn't ready. */
  private readonly waiting = new Map<number, Deadline>();
  private settle!: (outcome: GatherOutcome) => void;
  private giveUp!: (error: Error) => void;

  constructor(private readonly options: GatheringOptions) {
    this.outcome = new Promise((resolve, reject) => {
      this.settle = resolve;
      this.giveUp = reject;
    });
    this.outcome.catch(() => undefined); // who began it may not wait for it any more
    for (const rank of options.ranks) this.await(rank);
  }

  /** What a rank says; of another version it tells nothing. */
  hear(rank: number, { version, numLeft, room, error }: GatherReport): void {
    const deadline = this.waiting.get(rank);
    if (version !== this.options.version || deadline === undefined) return;
    deadline.cancel();
    if (error === undefined && numLeft > 0) return this.await(rank);
    if (error !== undefined) this.failures.push({ rank, error, room: room ?? null });
    this.waiting.delete(rank);
    if (this.waiting.size === 0) this.settle({ kind: 'done', failures: this.failures });
  }

  /** An epoch begins: what was gathered is for nothing. */
  abandon(): void {
    this.stop();
    this.settle({ kind: 'abandoned' });
  }

  /** The job has ended. */
  fail(error: Error): void {
    this.stop();
    this.giveUp(error);
  }

  private await(rank: number): void {
    const { timeoutMs, onLate } = this.options;
    this.waiting.set(rank, new Deadline(timeoutMs, () => onLate(rank)));
  }

  private stop(): void {
    for (const deadline of this.waiting.values()) deadline.cancel();
    this.waiting.clear();
  }
}
