/** What steps run on, as the head's loop sees it. */
import type { FreeOrder, MoveOrder, StepPlan, StepResult } from '../protocol/step_plan.js';
import type { LostRank } from './members.js';

/** How a step ended. `abandoned`: a rank was lost, nothing of the step counts, and {@link StepRunner.settled} says who it was. */
export type StepOutcome =
  | {
      readonly kind: 'done';
      /** By rank; null for one that was lost earlier. */
      readonly results: readonly (StepResult | null)[];
    }
  | { readonly kind: 'abandoned' };

/** A new epoch, and who was lost since the last one that the caller heard of. */
export interface EpochChange {
  readonly epoch: number;
  readonly lost: readonly LostRank[];
  /** The step that was abandoned and runs again, the first of several; null when none was running. */
  readonly abandonedStep: number | null;
}

/** Ranks that compute steps in lockstep, of which some may be lost: a job. */
export interface StepRunner {
  /**
   * Runs one step on all ranks that are left, behind those that run; `plans` by rank, of the same step, epoch and version of the placement. Rejects with
   * the first cause when the ranks can't go on, or when they were ended; such a rejection may be left alone. Steps end in the order in which they began,
   * and where one is abandoned, those behind it are too.
   */
  step(plans: readonly StepPlan[]): Promise<StepOutcome>;
  /** Tells every rank that is left, before the next step that begins; false where that epoch is over, or nothing runs any more: then nobody was told. */
  move(move: MoveOrder, epoch: number): boolean;
  /** What a rank forgets behind the steps that have begun. */
  free(rank: number, order: FreeOrder): void;
  /**
   * Waits until every loss so far is dealt with and the ranks that are left can run a step. Returns what changed since it was last asked, or null.
   * Rejects as {@link step} does.
   */
  settled(): Promise<EpochChange | null>;
  /** What changed since it was last asked by this or by {@link settled}, or null. */
  change(): EpochChange | null;
  /** Calls `onEpoch` whenever ranks were lost and an epoch begins, also while no step runs. */
  watch(onEpoch: () => void): void;
}
