/** What scaling a job does and comes to, for logs, pages and callers. */
import type { EngineError } from '../../protocol/errors.js';
import type { PolicyDecision } from './elastic_policy.js';

/** Who wanted another number of ranks: a caller, the policy with its figures, or a rank that is to end. */
export type ScaleCause =
  | { readonly kind: 'asked' }
  | ({ readonly kind: 'policy' } & PolicyDecision)
  | { readonly kind: 'leave'; readonly rank: number };

/** What moved because of an order, or of all orders so far. */
export interface MovedCounts {
  /** Experts that ranks got, per layer and rank. */
  readonly numMovedExperts: number;
  /** Sequences that went on elsewhere with their cache, and those that are computed anew. */
  readonly numMovedSequences: number;
  readonly numRecomputed: number;
}

/** The job has as many ranks as it was to have. */
export interface Scaled extends MovedCounts {
  /** Ranks before and after. */
  readonly before: number;
  readonly after: number;
  /** Seats of those that came and of those that went, in that order. */
  readonly joined: readonly number[];
  readonly left: readonly number[];
  /** From the order until every expert is in its place and whoever went is gone. */
  readonly ms: number;
  /** Until the first epoch with the new number of ranks; null: there were as many already. */
  readonly firstMs: number | null;
}

/** What became of an order to scale, in the order in which it happens. */
export type ScaleEvent =
  | {
      readonly kind: 'begun';
      readonly before: number;
      /** How many ranks there are to be. */
      readonly wanted: number;
      readonly cause: ScaleCause;
    }
  | ({ readonly kind: 'done'; readonly cause: ScaleCause } & Scaled)
  /** The job goes on with `after` ranks. */
  | {
      readonly kind: 'failed';
      readonly before: number;
      readonly after: number;
      readonly cause: ScaleCause;
      readonly error: EngineError;
    };

/** Told of every change of the number of ranks that somebody wanted. */
export type OnScale = (event: ScaleEvent) => void;

/** Of a job so far. */
export interface ScalingStats {
  /** Ranks that the job can have at a time. */
  readonly maxRanks: number;
  readonly isScaling: boolean;
  readonly numScaled: number;
  readonly numFailed: number;
  readonly lastError: string | null;
}
