/** What steps run on, as the head's loop sees it. */
import type { Address } from '../../comm/ws/door/dial.js';
import type { HandoverOrder, PullReport } from '../protocol/handover.js';
import type { LiftReport, StoreNews, StoreOrder } from '../protocol/kv_store.js';
import type { FreeOrder, MoveOrder, StepPlan, StepResult, ToldPlacement } from '../protocol/step_plan.js';
import type { GatherOutcome } from './gathering.js';
import type { LostRank, Members } from './members.js';

/** How a step ended. `abandoned`: a rank was lost, nothing of the step counts, and {@link StepRunner.settled} says who it was. */
export type StepOutcome =
  | {
      readonly kind: 'done';
      /** By seat; null where nobody is. */
      readonly results: readonly (StepResult | null)[];
    }
  | { readonly kind: 'abandoned' };

/** A new epoch, and what it changed. */
export interface EpochChange {
  readonly epoch: number;
  /** Those of the epoch. */
  readonly members: Members;
  readonly lost: readonly LostRank[];
  /** They hold no experts and no sequences yet. */
  readonly joined: readonly number[];
  /** They went as it was planned. */
  readonly left: readonly number[];
  /** The step that was abandoned and runs again, the first of several; null when none was running. */
  readonly abandonedStep: number | null;
}

/** Ranks that compute steps in lockstep, of which some may be lost, go or come: a job. */
export interface StepRunner {
  /**
   * Runs one step on all members, behind those that run; `plans` by seat, of the same step, epoch and version of the placement. Rejects with
   * the first cause when the ranks can't go on, or when they were ended; such a rejection may be left alone. Steps end in the order in which they began,
   * and where one is abandoned, those behind it are too.
   */
  step(plans: readonly StepPlan[]): Promise<StepOutcome>;
  /** Tells every member, before the next step that begins; false where that epoch is over, or nothing runs any more: then nobody was told. */
  move(move: MoveOrder, epoch: number): boolean;
  /**
   * Between `prepare` and `commit`, while no step runs: resolves when every member has what comes from disk, or says why not. Rejects as {@link step} does.
   */
  gather(version: number, epoch: number): Promise<GatherOutcome>;
  /** What a rank forgets behind the steps that have begun. */
  free(rank: number, order: FreeOrder): void;
  /**
   * Waits until every loss so far is dealt with and the members can run a step. Returns the epochs since it was last asked, in their order.
   * Rejects as {@link step} does.
   */
  settled(): Promise<readonly EpochChange[]>;
  /** Members are to change in a way that nobody has to be abandoned for: no further step should begin before {@link change}. */
  readonly isChanging: boolean;
  /**
   * Begins the epoch that was planned, while no step runs; {@link settled} tells of it when all are in it. False: nothing is planned any more, or a loss
   * comes first. `placement`: in force, for ranks that join.
   */
  change(placement: ToldPlacement): boolean;
  /** Calls `onNews` whenever there is something to settle or to change, also while no step runs. */
  watch(onNews: () => void): void;
}

/** Ranks whose sequences go on in other instances, and the other way. */
export interface HandoverRunner {
  /** Where a rank lets others read; null: nobody sits there, or it has no door. */
  kvDoorOf(rank: number): Address | null;
  /** Tells a rank what it does at once, beside its steps; false where it is no member, or nothing runs any more. Of one that is lost nobody hears again. */
  handover(rank: number, order: HandoverOrder): boolean;
  /** Calls `onPulled` with what came of each pull that wasn't cancelled, while its rank lives. */
  watchPulls(onPulled: OnPulled): void;
}

/** Told what came of a pull on a rank. */
export type OnPulled = (rank: number, report: PullReport) => void;

/** Ranks that keep blocks in tiers. */
export interface StoreRunner {
  /** Tells a rank what it does beside its steps, behind what it was told to free before; false where it is no member, or nothing runs any more. */
  store(rank: number, order: StoreOrder): boolean;
  /** Calls `watch` with what members tell of their tiers, and with what they told before, in its order. Of one that is lost nobody hears again. */
  watchStores(watch: StoreWatch): void;
}

/** Told what ranks say of their tiers. */
export interface StoreWatch {
  /** What came of a load that wasn't cancelled. */
  onLifted(rank: number, report: LiftReport): void;
  onNews(rank: number, news: StoreNews): void;
}
