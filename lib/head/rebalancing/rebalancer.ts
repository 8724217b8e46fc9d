/**
 * The head's part of live rebalancing. Every so many steps it has a plan made from the load of the last ones; if that gains enough, experts move beside
 * the steps, some layers at a time. When every rank holds all that the next version of the placement needs, it is in force from the next step on;
 * until then, and whenever something fails, the present one is.
 */
import { LoadWindow } from '../../../experts/load/load_window.js';
import type { MigrationOrder } from '../../../experts/layer/migration.js';
import { changedLayers, copiesFor, type ExpertCopy } from '../../../experts/layer/migration_plan.js';
import type { LivePlacement } from '../../../experts/placement/live_placement.js';
import { withLayers, type Placement } from '../../../experts/placement/placement.js';
import type { Plan } from '../../../experts/placement/planners/planner.js';
import type { PlanTopology } from '../../../experts/placement/planners/topology.js';
import type { ReplicaSplit } from '../../../experts/placement/replica_split.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { Job } from '../../job/job.js';
import { moeLayersOf, type ModelSpec } from '../../model/spec/spec.js';
import { expertKey } from '../../model/spec/tensor_names.js';
import { EngineError } from '../../protocol/errors.js';
import { PlannerThread, type Planning } from './planner_thread.js';
import { numGroupsOf, numSlotsOf } from './planner_check.js';
import {
  RebalanceFigures,
  type AskedRebalance,
  type OnRebalance,
  type RebalanceStats,
  type SinceRebalance,
} from './rebalance_stats.js';
import type { StepPlan } from '../../protocol/step_plan.js';
import type { ObservedStep, StepObserver } from '../observing/step_observer.js';

/** A job and what of it is balanced. */
export interface RebalancerOptions {
  readonly config: ExpertwireConfig;
  readonly spec: ModelSpec;
  /** Whose ranks are told, and what its experts are: those of which it doesn't know that are taken from disk as they are. */
  readonly job: Pick<Job, 'move' | 'expertDigests'>;
  /** What the job runs with: changed here when experts have moved, by others when ranks are lost. */
  readonly placement: LivePlacement;
  /** The load to plan for, that of the last steps, which somebody else keeps up to date. */
  readonly window: Pick<LoadWindow, 'load_LE'>;
  /** Bytes that a rank sends, and receives, beside one step at most. */
  readonly bytesPerStep: number;
  /** Who plans while steps run. Default: a thread with the planner of the configuration. */
  readonly planning?: Planning | undefined;
  readonly onRebalance?: OnRebalance | undefined;
}

/** A plan on its way: layers that switch together, one group after the other. */
interface Moving {
  readonly kind: 'moving';
  readonly before: Placement;
  readonly wanted: Placement;
  /** Those that don't move yet. */
  readonly layers: number[];
  /** What is being moved; null: the next group can begin. */
  order: MigrationOrder | null;
  round: number;
  isComplete: boolean;
  numMovedExperts: number;
  movedBytes: number;
  numSteps: number;
  readonly planMs: number;
  readonly predicted: { readonly before: number; readonly after: number };
}

type State =
  | { readonly kind: 'waiting' }
  | { readonly kind: 'planning' }
  | { readonly kind: 'planned'; readonly plan: Plan }
  | Moving;

/** Somebody who asked for a plan now, and waits until its experts have moved. */
interface Ask {
  readonly resolve: (outcome: AskedRebalance) => void;
  readonly reject: (error: Error) => void;
}

/** Watches the load of steps, and moves experts beside them where that makes ranks more alike. */
export class Rebalancer implements StepObserver {
  private readonly config: ExpertwireConfig['load_balance'];
  private readonly placement: LivePlacement;
  private readonly planning: Planning;
  /** How load is shared out over replicas. */
  private readonly split: ReplicaSplit;
  private readonly numSlots: number;
  private readonly figures = new RebalanceFigures();
  private state: State = { kind: 'waiting' };
  private since: SinceRebalance | null = null;
  private numSteps = 0;
  /** Steps after which the next plan may be made. */
  private nextPlan: number;
  private epoch = 0;
  private step = 0;
  private asked: Ask | null = null;
  /** Why nothing moves any more. */
  private failure: Error | null = null;

  constructor(private readonly options: RebalancerOptions) {
    const { config, placement, planning } = options;
    this.config = config.load_balance;
    this.placement = placement;
    this.planning = planning ?? new PlannerThread(this.config.planner, config.plugins);
    this.split = ['balanced', 'allgather'].includes(config.experts.replica_choice) ? 'balanced' : 'even';
    this.numSlots = numSlotsOf(placement.whole);
    this.nextPlan = this.config.step_interval;
  }

  /** Experts move beside the step that was planned last: the next one can be planned when its results are there. */
  get isMoving(): boolean {
    return this.state.kind === 'moving';
  }

  /** Before a step is planned: what it runs with, and beside it. */
  next({ epoch, step }: Pick<StepPlan, 'epoch' | 'step'>): Pick<StepPlan, 'placementVersion' | 'moveRound'> {
    this.epoch = epoch;
    this.step = step;
    if (this.state.kind === 'planned') this.state = this.movingTo(this.state);
    if (this.state.kind === 'moving') this.proceed(this.state);
    const { state } = this;
    const isMoving = state.kind === 'moving' && state.order !== null && !state.isComplete;
    return { placementVersion: this.placement.version, ...(isMoving && { moveRound: state.round }) };
  }

  /** Counts a step, and hears what ranks say of the experts that moved beside it. */
  observe(step: ObservedStep): void {
    this.since?.load.push(step.load_LE);
    this.numSteps++;
    const isBeside = step.plans[0]!.moveRound !== undefined;
    if (this.state.kind === 'moving' && isBeside) this.moved(this.state, step);
    else this.figures.stepped(step.stepMs);
    if (this.state.kind === 'waiting' && this.numSteps >= this.nextPlan) void this.plan();
  }

  /**
   * Plans from the load so far, whatever `step_interval`, `cool_down` and `min_gain` say, and moves experts beside the next steps. Resolves when they have
   * moved: where no step runs, it waits for one. When `signal` is aborted it waits no more; a plan that is made by then is judged as any other.
   * @throws EngineError INVALID_REQUEST: experts are being moved already, or no step has run; REBALANCE_FAILED; CLOSED
   */
  async rebalance(signal?: AbortSignal): Promise<AskedRebalance> {
    const refuse = (text: string): never => {
      throw new EngineError('INVALID_REQUEST', text);
    };
    if (this.failure !== null) throw this.failure;
    if (signal?.aborted === true) throw givenUp();
    if (this.asked !== null) refuse('a rebalance was asked for already; ask again when it is over');
    if (this.state.kind === 'moving') refuse('experts are being moved already; ask again when they have');
    if (this.numSteps === 0) refuse('no step has run, so that there is no load to plan for; ask again when some have');
    const outcome = new Promise<AskedRebalance>((resolve, reject) => (this.asked = { resolve, reject }));
    const { asked } = this;
    const giveUp = (): void => {
      if (this.asked === asked) this.takeAsk()?.reject(givenUp());
    };
    signal?.addEventListener('abort', giveUp, { once: true });
    if (this.state.kind === 'planned') this.planned(this.state.plan);
    else if (this.state.kind === 'waiting') void this.plan();
    return outcome.finally(() => signal?.removeEventListener('abort', giveUp));
  }

  /** No step runs any more: whoever asked for a rebalance, or will, is told why. */
  fail(error: Error): void {
    this.failure ??= error;
    this.takeAsk()?.reject(error);
  }

  /** A new epoch: the ranks that are left have dropped what was being moved. */
  lose(): void {
    const text = 'a rank was lost before experts had moved; ask again';
    this.takeAsk()?.reject(new EngineError('REBALANCE_FAILED', text));
    this.since = null;
    this.state = { kind: 'waiting' };
    this.nextPlan = this.numSteps + (isLacking(this.placement.left) ? 1 : this.config.step_interval);
  }

  /** What it did so far, and what that cost. */
  stats(): RebalanceStats {
    return this.figures.stats(this.since, this.placement.left, this.split);
  }

  /** Ends a plan that is being made. Idempotent. */
  close(): Promise<void> {
    this.fail(new EngineError('CLOSED', 'the engine was closed; start another'));
    return this.planning.close();
  }

  private async plan(): Promise<void> {
    const { window, spec, config } = this.options;
    const current = this.placement.compacted();
    const { numRanks, numExperts, slotsPerRank } = current;
    const numSlots = Math.min(this.numSlots, numRanks * slotsPerRank);
    if (numSlots < numExperts) {
      this.giveUp(`${numSlots} slots on the ${numRanks} ranks that are left, ${numExperts} experts`, null);
      return;
    }
    // A planner can't tell nodes of different sizes.
    const numNodes = this.placement.lost.length > 0 ? 1 : config.comm.num_nodes;
    const topology: PlanTopology = { numRanks, numSlots, numNodes, numGroups: numGroupsOf(spec) };
    const asked: State = { kind: 'planning' };
    this.state = asked;
    this.nextPlan = this.numSteps + this.config.step_interval;
    const isStale = (): boolean => this.failure !== null || this.state !== asked;
    try {
      const load_LE = window.load_LE.map((load_E) => load_E.slice());
      const plan = await this.planning.plan(load_LE, topology, current);
      if (!isStale()) this.planned(plan);
    } catch (error) {
      if (!isStale()) this.giveUp(error instanceof Error ? error.message : String(error), error);
    }
  }

  /** Judged between two steps; but one that was asked for may change nothing, and its caller hears of that at once, even where no step runs. */
  private planned(plan: Plan): void {
    this.state = { kind: 'planned', plan };
    if (this.asked !== null) this.state = this.movingTo(this.state);
  }

  /** The way to a plan, if it is worth going. */
  private movingTo({ plan }: Extract<State, { kind: 'planned' }>): State {
    const { left } = this.placement;
    const { config, split } = this;
    const { before, after, planMs } = plan.report;
    const predicted = { before: before?.[split] ?? 0, after: after[split] };
    const wanted = this.placement.expanded(plan.placement);
    const layers = changedLayers(left, wanted);
    const isWorth = this.asked !== null || isLacking(left) || predicted.after - predicted.before >= config.min_gain;
    if (layers.length === 0 || !isWorth) {
      this.figures.skipped();
      this.takeAsk()?.resolve({ kind: 'unchanged', predicted });
      return { kind: 'waiting' };
    }
    return {
      ...{ kind: 'moving', before: left, wanted, layers, order: null, round: 0, isComplete: false },
      ...{ numMovedExperts: 0, movedBytes: 0, numSteps: 0, planMs, predicted },
    };
  }

  /** Switches over what every rank holds, and begins with what comes next. */
  private proceed(moving: Moving): void {
    const { job, config, bytesPerStep } = this.options;
    const { epoch, placement } = this;
    const { wanted } = moving;
    for (;;) {
      if (moving.order !== null) {
        const { version, layers, copies } = moving.order;
        if (!moving.isComplete || !job.move({ kind: 'commit', version }, epoch)) return;
        placement.commit(withLayers(placement.whole, version, layers));
        moving.numMovedExperts += copies.length;
        moving.order = null;
      }
      const group = moving.layers.slice(0, this.config.layer_updates_per_step);
      if (group.length === 0) return this.finish(moving);
      const copies = copiesFor(placement.left, wanted, group, wanted.numRanks / config.comm.num_nodes).map((copy) =>
        this.withDigest(copy),
      );
      const layers = group.map((moeLayer) => ({ moeLayer, phy2log: wanted.phy2log[moeLayer]! }));
      const order: MigrationOrder = { version: placement.version + 1, layers, copies, bytesPerStep };
      if (!job.move({ kind: 'prepare', order }, epoch)) return;
      moving.layers.splice(0, group.length);
      moving.order = order;
      moving.round = 0;
      moving.isComplete = copies.length === 0;
    }
  }

  private withDigest(copy: ExpertCopy): ExpertCopy {
    const { job, spec } = this.options;
    const digest = job.expertDigests.get(expertKey(moeLayersOf(spec)[copy.moeLayer]!, copy.logical));
    return copy.from !== null || digest === undefined ? copy : { ...copy, digest };
  }

  private finish({ before, numMovedExperts, movedBytes, numSteps, planMs, predicted }: Moving): void {
    const { version } = this.placement;
    const done = { version, step: this.step, numMovedExperts, movedBytes, numSteps, planMs, predicted };
    this.figures.done(done);
    const shape = { numLayers: before.phy2log.length, numExperts: before.numExperts };
    this.since = { before, load: new LoadWindow({ ...shape, windowSize: Infinity }) };
    this.rest();
    this.takeAsk()?.resolve({ kind: 'done', ...done });
    this.options.onRebalance?.({ kind: 'done', ...done });
  }

  /** What the ranks say about moving after a step. */
  private moved(moving: Moving, { results, stepMs }: ObservedStep): void {
    const { version } = moving.order!;
    const reports = results.flatMap((result, rank) => (result === null ? [] : [{ rank, moved: result.moved }]));
    const bytes = reports.reduce((sum, { moved }) => sum + (moved?.receivedBytes ?? 0), 0);
    const stallMs = Math.max(...reports.map(({ moved }) => moved?.stallMs ?? 0));
    this.figures.moved(bytes, stallMs, stepMs);
    moving.movedBytes += bytes;
    moving.numSteps++;
    moving.round++;
    const failed = reports.find(({ moved }) => moved?.version !== version || moved.error !== undefined);
    if (failed !== undefined) {
      const { error } = failed.moved ?? {};
      const why =
        error === undefined
          ? `it gathers version ${failed.moved?.version ?? '?'}, not ${version}`
          : `${error.code}: ${error.reason}`;
      // Its epoch may be over: then the ranks have dropped it already.
      this.options.job.move({ kind: 'drop', version }, this.epoch);
      const text = `experts were not moved (rank ${failed.rank}: ${why}); the placement stays as it is, and is planned again after load_balance.cool_down steps`;
      this.tellFailure(new EngineError('REBALANCE_FAILED', text, { rank: failed.rank }));
    } else moving.isComplete = reports.every(({ moved }) => moved!.isComplete);
  }

  /** No plan can be made: the next one would fail alike, unless a rank is lost. */
  private giveUp(why: string, cause: unknown): void {
    const text = `no placement can be planned (${why}); the present one stays: go on with it, or start the job again`;
    this.tellFailure(new EngineError('REBALANCE_FAILED', text, { cause }));
    this.nextPlan = Infinity;
  }

  /** The present placement stays. */
  private tellFailure(error: EngineError): void {
    this.figures.failed(error);
    this.rest();
    this.takeAsk()?.reject(error);
    this.options.onRebalance?.({ kind: 'failed', error });
  }

  private takeAsk(): Ask | null {
    const { asked } = this;
    this.asked = null;
    return asked;
  }

  private rest(): void {
    this.state = { kind: 'waiting' };
    this.nextPlan = Math.max(this.nextPlan, this.numSteps + this.config.cool_down);
  }
}

const givenUp = (): EngineError => new EngineError('CLOSED', 'who asked for a rebalance waits for it no more');

/** Whether some expert has no replica left. */
const isLacking = ({ logcnt }: Placement): boolean => logcnt.some((counts) => counts.includes(0));
