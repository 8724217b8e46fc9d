/**
 * Moves experts beside the steps, some layers at a time, to a placement that somebody wants. When every rank holds all that the next version of the
 * placement needs, it is in force from the next step on; until then, and whenever something fails, the present one is. Who wants what is said by others:
 * the rebalancer for the sake of the load, and whoever sees ranks come and go.
 */
import type { MigrationOrder } from '../../../experts/layer/migration.js';
import { changedLayers, copiesFor } from '../../../experts/layer/migration_plan.js';
import type { LivePlacement } from '../../../experts/placement/live_placement.js';
import { withLayers, type Placement } from '../../../experts/placement/placement.js';
import type { Job } from '../../job/job.js';
import { EngineError } from '../../protocol/errors.js';
import type { MoveLimits } from '../../protocol/rank_job.js';
import type { MoveReport, StepPlan } from '../../protocol/step_plan.js';
import type { ObservedStep, StepObserver } from '../observing/step_observer.js';
import { withDigests, type KnownExperts } from './expert_copies.js';
import { MoveFigures, type MoveEnd } from './move_stats.js';

/** Whose experts move, and how fast. */
export interface MoverOptions extends KnownExperts {
  /** Whose ranks are told. */
  readonly job: Pick<Job, 'move' | 'expertDigests'>;
  /** What the job runs with: changed here when experts have moved, by others when ranks come or go. */
  readonly placement: LivePlacement;
  readonly numNodes: number;
  readonly limits: MoveLimits;
}

/** How a placement is moved to. */
export interface MoveWish {
  readonly wanted: Placement;
  /** It is worth steps of its own where none run. Default false: they are waited for. */
  readonly isUrgent?: boolean;
  /** Told once. */
  readonly onEnd: (end: MoveEnd) => void;
}

/** A placement that is being moved to: layers that switch together, one group after the other. */
interface Target {
  readonly wish: MoveWish;
  /** Those that don't move yet; null: it isn't looked at yet. */
  layers: number[] | null;
  numMovedExperts: number;
  movedBytes: number;
  numSteps: number;
}

/** What is being moved. */
interface Round {
  readonly order: MigrationOrder;
  readonly target: Target;
  round: number;
  isComplete: boolean;
}

/** What a rank says of a step; undefined: nothing. */
interface RankMoved {
  readonly rank: number;
  readonly moved: MoveReport | undefined;
}

/** One of a job whose experts may move. */
export class Mover implements StepObserver {
  readonly figures = new MoveFigures();
  private target: Target | null = null;
  private current: Round | null = null;
  private epoch = 0;
  private step = 0;

  constructor(private readonly options: MoverOptions) {}

  /** Experts move, or are about to: the step behind one beside which they do can be planned when its results are there. */
  get isMoving(): boolean {
    return this.target !== null || this.current !== null;
  }

  /** Steps are to run for this alone, where none run otherwise. */
  get isUrgent(): boolean {
    return this.target?.wish.isUrgent === true;
  }

  /** From the next step on. What was wanted before is dropped, as far as it hasn't moved. */
  moveTo(wish: MoveWish): void {
    const before = this.target;
    this.target = { wish, layers: null, numMovedExperts: 0, movedBytes: 0, numSteps: 0 };
    before?.wish.onEnd(dropped('another placement is wanted before all experts had moved; ask again'));
  }

  /** Before a step is planned: what it runs with, and beside it. */
  next({ epoch, step }: Pick<StepPlan, 'epoch' | 'step'>): Pick<StepPlan, 'placementVersion' | 'moveRound'> {
    this.epoch = epoch;
    this.step = step;
    this.proceed();
    const { current } = this;
    const isMoving = current !== null && !current.isComplete;
    return { placementVersion: this.options.placement.version, ...(isMoving && { moveRound: current.round }) };
  }

  /** Hears what ranks say of the experts that moved beside a step. */
  observe(step: ObservedStep): void {
    const isBeside = step.plans[0]!.moveRound !== undefined;
    if (this.current !== null && isBeside) this.moved(this.current, step);
    else this.figures.stepped(step.stepMs);
  }

  /** A new epoch: the ranks have dropped what was being moved. */
  enter(): void {
    this.current = null;
    this.end(dropped('ranks came or went before experts had moved; ask again'));
  }

  /** Switches over what every rank holds, and begins with what comes next. */
  private proceed(): void {
    const { job, placement } = this.options;
    for (;;) {
      const { current, target, epoch } = this;
      if (current !== null) {
        const { version, layers, copies } = current.order;
        if (!current.isComplete || !job.move({ kind: 'commit', version }, epoch)) return;
        placement.commit(withLayers(placement.whole, version, layers));
        current.target.numMovedExperts += copies.length;
        this.figures.switched(copies.length);
        this.current = null;
      }
      if (target === null) return;
      target.layers ??= changedLayers(placement.left, target.wish.wanted);
      if (target.layers.length === 0) return this.finish(target);
      const order = this.orderFor(target);
      if (!job.move({ kind: 'prepare', order }, epoch)) return;
      target.layers.splice(0, order.layers.length);
      this.current = { order, target, round: 0, isComplete: order.copies.length === 0 };
    }
  }

  private orderFor({ layers, wish: { wanted } }: Target): MigrationOrder {
    const { placement, limits, numNodes } = this.options;
    const group = layers!.slice(0, limits.numLayers);
    const copies = copiesFor(placement.left, wanted, group, wanted.numRanks / numNodes);
    return {
      version: placement.version + 1,
      layers: group.map((moeLayer) => ({ moeLayer, phy2log: wanted.phy2log[moeLayer]! })),
      copies: withDigests(copies, this.options),
      bytesPerStep: limits.bytesPerStep,
    };
  }

  private finish({ numMovedExperts, movedBytes, numSteps }: Target): void {
    const { version } = this.options.placement;
    this.end({ kind: 'moved', moved: { version, step: this.step, numMovedExperts, movedBytes, numSteps } });
  }

  /** What the ranks say about moving after a step. */
  private moved(current: Round, { results, stepMs }: ObservedStep): void {
    const { order, target } = current;
    const reports = results.flatMap((result, rank) => (result === null ? [] : [{ rank, moved: result.moved }]));
    const bytes = reports.reduce((sum, { moved }) => sum + (moved?.receivedBytes ?? 0), 0);
    const stallMs = Math.max(...reports.map(({ moved }) => moved?.stallMs ?? 0));
    this.figures.moved(bytes, stallMs, stepMs);
    target.movedBytes += bytes;
    target.numSteps++;
    current.round++;
    const failed = reports.find(({ moved }) => moved?.version !== order.version || moved.error !== undefined);
    if (failed === undefined) current.isComplete = reports.every(({ moved }) => moved!.isComplete);
    else this.fail(current, failed);
  }

  private fail({ order: { version }, target }: Round, { rank, moved }: RankMoved): void {
    // Its epoch may be over: then the ranks have dropped it already.
    this.options.job.move({ kind: 'drop', version }, this.epoch);
    this.current = null;
    if (target !== this.target) return; // another placement is wanted meanwhile
    const { error } = moved ?? {};
    const why =
      error === undefined
        ? `it gathers version ${moved?.version ?? '?'}, not ${version}`
        : `${error.code}: ${error.reason}`;
    this.end({ kind: 'failed', rank, code: error?.code ?? null, why });
  }

  private end(end: MoveEnd): void {
    const { target } = this;
    this.target = null;
    target?.wish.onEnd(end);
  }
}

const dropped = (text: string): MoveEnd => ({ kind: 'dropped', error: new EngineError('REBALANCE_FAILED', text) });
