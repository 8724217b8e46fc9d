/** What live rebalancing did and cost. */
import { balancednessOf } from '../../../experts/placement/balance.js';
import type { LoadWindow } from '../../../experts/load/load_window.js';
import type { Placement } from '../../../experts/placement/placement.js';
import type { ReplicaSplit } from '../../../experts/placement/replica_split.js';
import type { EngineError } from '../../protocol/errors.js';

/** All experts of a plan are where it wants them. */
export interface Rebalance {
  /** Of the placement that is in force now. */
  readonly version: number;
  /** The first step that runs with it. */
  readonly step: number;
  /** Experts that ranks got, per layer and rank, and the bytes of those that came from other ranks. */
  readonly numMovedExperts: number;
  readonly movedBytes: number;
  /** Steps from the first one beside which experts moved to the last. */
  readonly numSteps: number;
  readonly planMs: number;
  /** Balancedness of the load that the plan was made from, before and after it. */
  readonly predicted: { readonly before: number; readonly after: number };
}

/** What became of a plan that somebody asked for. */
export type AskedRebalance =
  | ({ readonly kind: 'done' } & Rebalance)
  /** The best plan for this load is the present placement. */
  | { readonly kind: 'unchanged'; readonly predicted: Rebalance['predicted'] };

/** What became of a plan. */
export type RebalanceEvent =
  | ({ readonly kind: 'done' } & Rebalance)
  /** The placement is what it was before the layers that were being moved. */
  | { readonly kind: 'failed'; readonly error: EngineError };

/** Told of every plan that was carried out, and of every failure. */
export type OnRebalance = (event: RebalanceEvent) => void;

/** Of a job so far. */
export interface RebalanceStats {
  readonly numRebalances: number;
  /** Of the last 512 rebalances, the first step that ran with the new placement. */
  readonly rebalancedAt: readonly number[];
  /** Plans that gained less than `min_gain`, or nothing. */
  readonly numSkipped: number;
  readonly numFailed: number;
  readonly lastError: string | null;
  readonly numMovedExperts: number;
  readonly movedBytes: number;
  /** The most that moving experts held up one step: reading rows before it and waiting for rows behind it, on the slowest rank. */
  readonly longestStallMs: number;
  /** The longest step beside which experts moved, and the median of the last steps beside which none did; null: there were none. */
  readonly longestStepMs: number | null;
  readonly medianStepMs: number | null;
  /** Balancedness of the load since the last rebalance, as the placement before it would have carried it, and as the one in force did. */
  readonly balancedness: { readonly before: number; readonly after: number } | null;
}

const NUM_STEP_TIMES = 256;
const NUM_REBALANCES = 512;

/** Counts what a rebalancer does. */
export class RebalanceFigures {
  private readonly counts = {
    ...{ numRebalances: 0, numSkipped: 0, numFailed: 0, lastError: null as string | null },
    ...{ numMovedExperts: 0, movedBytes: 0, longestStallMs: 0, longestStepMs: null as number | null },
  };
  private readonly rebalancedAt: number[] = [];
  /** Of the last steps beside which nothing moved. */
  private readonly stepTimesMs: number[] = [];

  /** A step beside which nothing moved. */
  stepped(stepMs: number): void {
    this.stepTimesMs.push(stepMs);
    if (this.stepTimesMs.length > NUM_STEP_TIMES) this.stepTimesMs.shift();
  }

  /** A step beside which experts moved: what that came to, over all ranks. */
  moved(bytes: number, stallMs: number, stepMs: number): void {
    const { counts } = this;
    counts.movedBytes += bytes;
    counts.longestStallMs = Math.max(counts.longestStallMs, stallMs);
    counts.longestStepMs = Math.max(counts.longestStepMs ?? 0, stepMs);
  }

  /** A plan that was not worth going. */
  skipped(): void {
    this.counts.numSkipped++;
  }

  /** Experts could not be moved, or no plan be made. */
  failed({ message }: EngineError): void {
    this.counts.numFailed++;
    this.counts.lastError = message;
  }

  /** All experts of a plan are where it wants them. */
  done({ numMovedExperts, step }: Rebalance): void {
    this.counts.numRebalances++;
    this.counts.numMovedExperts += numMovedExperts;
    this.rebalancedAt.push(step);
    if (this.rebalancedAt.length > NUM_REBALANCES) this.rebalancedAt.shift();
  }

  /** `since`: the load since the last rebalance, and the placement before it. */
  stats(since: SinceRebalance | null, placement: Placement, split: ReplicaSplit): RebalanceStats {
    const of = (each: Placement): number => balancednessOf(since!.load.load_LE, each, split);
    const balancedness =
      since === null || since.load.numSteps === 0 ? null : { before: of(since.before), after: of(placement) };
    const medianStepMs = this.stepTimesMs.toSorted((a, b) => a - b)[this.stepTimesMs.length >> 1] ?? null;
    return { ...this.counts, rebalancedAt: [...this.rebalancedAt], medianStepMs, balancedness };
  }
}

/** A placement that was replaced, and the load since then. */
export interface SinceRebalance {
  readonly before: Placement;
  readonly load: LoadWindow;
}
