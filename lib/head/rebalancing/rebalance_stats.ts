/** What live rebalancing did and cost. */
import { balancednessOf } from '../../../experts/placement/balance.js';
import type { LoadWindow } from '../../../experts/load/load_window.js';
import type { Placement } from '../../../experts/placement/placement.js';
import type { ReplicaSplit } from '../../../experts/placement/replica_split.js';
import type { EngineError } from '../../protocol/errors.js';
import type { Moved, MoveStats } from './move_stats.js';

/** All experts of a plan are where it wants them. */
export interface Rebalance extends Moved {
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
export interface RebalanceStats extends MoveStats {
  readonly numRebalances: number;
  /** Of the last 512 rebalances, the first step that ran with the new placement. */
  readonly rebalancedAt: readonly number[];
  /** Plans that gained less than `min_gain`, or nothing. */
  readonly numSkipped: number;
  readonly numFailed: number;
  readonly lastError: string | null;
  /** Balancedness of the load since the last rebalance, as the placement before it would have carried it, and as the one in force did. */
  readonly balancedness: { readonly before: number; readonly after: number } | null;
}

const NUM_REBALANCES = 512;

/** Counts what a rebalancer does. */
export class RebalanceFigures {
  private readonly counts = { numRebalances: 0, numSkipped: 0, numFailed: 0, lastError: null as string | null };
  private readonly rebalancedAt: number[] = [];

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
  done({ step }: Rebalance): void {
    this.counts.numRebalances++;
    this.rebalancedAt.push(step);
    if (this.rebalancedAt.length > NUM_REBALANCES) this.rebalancedAt.shift();
  }

  /** `since`: the load since the last rebalance, and the placement before it. */
  stats(
    since: SinceRebalance | null,
    placement: Placement,
    split: ReplicaSplit,
  ): Omit<RebalanceStats, keyof MoveStats> {
    const of = (each: Placement): number => balancednessOf(since!.load.load_LE, each, split);
    const balancedness =
      since === null || since.load.numSteps === 0 ? null : { before: of(since.before), after: of(placement) };
    return { ...this.counts, rebalancedAt: [...this.rebalancedAt], balancedness };
  }
}

/** A placement that was replaced, and the load since then. */
export interface SinceRebalance {
  readonly before: Placement;
  readonly load: LoadWindow;
}
