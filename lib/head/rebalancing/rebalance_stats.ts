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

export type RebalanceEvent =
  | ({ readonly kind: 'done' } & Rebalance)
  /** The placement is what it was before the layers that were being moved. */
  | { readonly kind: 'failed'; readonly error: EngineError };

export type OnRebalance = (event: RebalanceEvent) => void;

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

/** What one step's moving came to, over all ranks. */
export interface MovedInStep {
  readonly bytes: number;
  readonly stallMs: number;
  readonly stepMs: number;
}

const NUM_STEP_TIMES = 256;
const NUM_REBALANCES = 512;

export class RebalanceFigures {
  private numRebalances = 0;
  private readonly rebalancedAt: number[] = [];
  private numSkipped = 0;
  private numFailed = 0;
  private lastError: string | null = null;
  private numMovedExperts = 0;
  private movedBytes = 0;
  private longestStallMs = 0;
  private longestStepMs: number | null = null;
  /** Of the last steps beside which nothing moved. */
  private readonly stepTimesMs: number[] = [];

  /** A step beside which nothing moved. */
  stepped(stepMs: number): void {
    this.stepTimesMs.push(stepMs);
    if (this.stepTimesMs.length > NUM_STEP_TIMES) this.stepTimesMs.shift();
  }

  moved({ bytes, stallMs, stepMs }: MovedInStep): void {
    this.movedBytes += bytes;
    this.longestStallMs = Math.max(this.longestStallMs, stallMs);
    this.longestStepMs = Math.max(this.longestStepMs ?? 0, stepMs);
  }

  skipped(): void {
    this.numSkipped++;
  }

  failed({ message }: EngineError): void {
    this.numFailed++;
    this.lastError = message;
  }

  done({ numMovedExperts, step }: Rebalance): void {
    this.numRebalances++;
    this.rebalancedAt.push(step);
    if (this.rebalancedAt.length > NUM_REBALANCES) this.rebalancedAt.shift();
    this.numMovedExperts += numMovedExperts;
  }

  /** `since`: the load since the last rebalance, and the placement before it. */
  stats(since: SinceRebalance | null, placement: Placement, split: ReplicaSplit): RebalanceStats {
    const {
      numRebalances,
      numSkipped,
      numFailed,
      lastError,
      numMovedExperts,
      movedBytes,
      longestStallMs,
      longestStepMs,
    } = this;
    const of = (each: Placement): number => balancednessOf(since!.load.load_LE, each, split);
    const balancedness =
      since === null || since.load.numSteps === 0 ? null : { before: of(since.before), after: of(placement) };
    const medianStepMs = this.stepTimesMs.toSorted((a, b) => a - b)[this.stepTimesMs.length >> 1] ?? null;
    return {
      rebalancedAt: [...this.rebalancedAt],
      ...{ numRebalances, numSkipped, numFailed, lastError, numMovedExperts, movedBytes },
      ...{ longestStallMs, longestStepMs, medianStepMs, balancedness },
    };
  }
}

export interface SinceRebalance {
  readonly before: Placement;
  readonly load: LoadWindow;
}
