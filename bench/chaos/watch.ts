/** What an engine tells of itself while faults befall it, kept for figures. */
import type { Placement } from '../../experts/placement/placement.js';
import type { ObservedStep } from '../../lib/head/observing/step_observer.js';
import type { ExpertsEvent } from '../../lib/head/rebalancing/experts_event.js';
import type { Loss } from '../../lib/head/step_loop.js';
import type { EngineObserver } from '../../lib/head/watchers.js';
import { holdersOf } from '../../lib/job/members.js';
import type { EpochChange } from '../../lib/job/step_runner.js';
import { heldOf, movedBetween, type Held } from './held.js';

/** How the job stood after a step that was unlike the one before. Times are of `performance.now()`. */
export interface Sample extends Held {
  readonly atMs: number;
  /** Ranks that were there. */
  readonly members: readonly number[];
  /** So far: experts that ranks got. */
  readonly numMoved: number;
  /** So far: tokens that were computed again, because their cache was lost. */
  readonly numRecomputed: number;
}

/** Ranks that were lost together. */
export interface SeenLoss {
  readonly atMs: number;
  readonly ranks: readonly number[];
}

/** Follows an engine: {@link Engine.watch}. */
export class JobWatch implements EngineObserver {
  readonly samples: Sample[] = [];
  readonly losses: SeenLoss[] = [];
  /** Experts are moving beside the last step. */
  isMoving = false;
  /** Ranks that may hold experts came or went, and experts aren't spread over those that are there yet. */
  isSpreading = false;
  /** Ranks that joined so far. */
  numJoined = 0;
  /** That may hold experts. */
  private holders: readonly number[];
  private placement: Placement | null = null;
  private members: readonly number[] = [];
  private held: Held = { numHomeless: 0, numReplicas: 0, numExperts: 0 };
  private numMoved = 0;
  private numRecomputed = 0;
  private readonly waiting = new Set<() => void>();

  /** Of a job that begins with so many ranks. @param isRecovering experts follow ranks that come and go */
  constructor(
    numRanks: number,
    private readonly isRecovering: boolean,
  ) {
    this.holders = [...Array(numRanks).keys()];
  }

  /** A step that counts. */
  step({ placement, results, plans }: ObservedStep): void {
    this.isMoving = plans.some(({ moveRound }) => moveRound !== undefined);
    for (const { parts } of plans) {
      for (const part of parts) if (part.isReplay) this.numRecomputed += part.tokenIds.length;
    }
    const members = results.flatMap((result, rank) => (result === null ? [] : [rank]));
    const isNews = placement !== this.placement || members.join() !== (this.samples.at(-1)?.members.join() ?? '');
    if (placement !== this.placement) {
      if (this.placement !== null) this.numMoved += movedBetween(this.placement, placement);
      this.held = heldOf(placement);
      this.placement = placement;
    }
    this.members = members;
    if (isNews || (this.losses.at(-1)?.atMs ?? 0) > this.samples.at(-1)!.atMs) this.samples.push(this.now());
    this.wake();
  }

  /** Ranks were lost, and the job goes on without them. */
  loss({ lost }: Loss): void {
    this.losses.push({ atMs: performance.now(), ranks: lost.map(({ rank }) => rank) });
    this.wake();
  }

  /** A new epoch. */
  enter({ members, joined }: EpochChange): void {
    this.members = [...members.present];
    this.numJoined += joined.length;
    const holders = holdersOf(members);
    if (holders.join() !== this.holders.join()) this.isSpreading = this.isRecovering;
    this.holders = holders;
    this.wake();
  }

  /** Experts are where they should be, or can't be. */
  homes({ kind }: ExpertsEvent): void {
    if (kind !== 'recovered') this.isSpreading = false;
  }

  /** How the job stands. */
  now(): Sample {
    const { members, held, numMoved, numRecomputed } = this;
    return { atMs: performance.now(), members, ...held, numMoved, numRecomputed };
  }

  /** Resolves at the first step or loss at which this holds, true, or else false when the time is over. */
  until(holds: () => boolean, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    if (holds()) return Promise.resolve(true);
    return new Promise((resolve) => {
      const look = (): void => (holds() ? end(true) : undefined);
      const give = (): void => end(false);
      const end = (isSo: boolean): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', give);
        this.waiting.delete(look);
        resolve(isSo);
      };
      const timer = setTimeout(give, timeoutMs);
      signal.addEventListener('abort', give, { once: true });
      this.waiting.add(look);
    });
  }

  private wake(): void {
    for (const look of [...this.waiting]) look();
  }
}
