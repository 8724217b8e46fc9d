/**
 * Live rebalancing: every so many steps a plan is made from the load of the last ones; if that gains enough, experts move to where it wants them.
 * {@link Mover} moves them.
 */
import { mostOf } from '../../../experts/placement/expert_counts.js';
import { LoadWindow } from '../../../experts/load/load_window.js';
import { changedLayers } from '../../../experts/layer/migration_plan.js';
import type { LivePlacement } from '../../../experts/placement/live_placement.js';
import type { Placement } from '../../../experts/placement/placement.js';
import type { Plan } from '../../../experts/placement/planners/planner.js';
import { speedsOf, type PlanTopology } from '../../../experts/placement/planners/topology.js';
import type { ReplicaSplit } from '../../../experts/placement/replica_split.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { ModelSpec } from '../../model/spec/spec.js';
import { EngineError } from '../../protocol/errors.js';
import type { MoveEnd, Moved } from './move_stats.js';
import type { Mover } from './mover.js';
import type { Planning } from './planner_thread.js';
import { numGroupsOf, numSlotsOf } from './planner_check.js';
import {
  RebalanceFigures,
  type AskedRebalance,
  type OnRebalance,
  type Rebalance,
  type RebalanceStats,
  type SinceRebalance,
} from './rebalance_stats.js';
import type { ObservedStep, StepObserver } from '../observing/step_observer.js';

/** A job and what of it is balanced. */
export interface RebalancerOptions {
  readonly config: ExpertwireConfig;
  readonly spec: ModelSpec;
  /** Moves experts to where plans want them. */
  readonly mover: Pick<Mover, 'moveTo' | 'isMoving' | 'figures'>;
  /** What the job runs with. */
  readonly placement: LivePlacement;
  /** The ranks that may hold experts, ascending. */
  readonly holders: () => readonly number[];
  /** By rank, what each computes in the same time; undefined: all alike. Another object is another answer, and wants another plan. */
  readonly capacities: () => readonly number[] | undefined;
  /** The load to plan for, that of the last steps, which somebody else keeps up to date. */
  readonly window: Pick<LoadWindow, 'load_LE'>;
  /** Who plans while steps run. Its owner closes it. */
  readonly planning: Planning;
  readonly onRebalance?: OnRebalance | undefined;
}

type State = { readonly kind: 'waiting' } | { readonly kind: 'planning' } | { readonly kind: 'moving' };

/** A plan on its way. */
interface MovingPlan extends Pick<Rebalance, 'planMs' | 'predicted'> {
  readonly before: Placement;
}

/** Somebody who asked for a plan now, and waits until its experts have moved. */
interface Ask {
  readonly resolve: (outcome: AskedRebalance) => void;
  readonly reject: (error: Error) => void;
}

/** Watches the load of steps, and moves experts beside them where that makes ranks more alike. */
export class Rebalancer implements StepObserver {
  private readonly config: ExpertwireConfig['load_balance'];
  private readonly placement: LivePlacement;
  /** How load is shared out over replicas. */
  private readonly split: ReplicaSplit;
  private readonly numSlots: number;
  private readonly figures = new RebalanceFigures();
  private state: State = { kind: 'waiting' };
  private since: SinceRebalance | null = null;
  private numSteps = 0;
  /** Steps after which the next plan may be made. */
  private nextPlan: number;
  /** No plan may be made before: experts have moved a short while ago. */
  private restUntil = 0;
  /** Of the ranks as the last plan took them. */
  private capacities: readonly number[] | undefined = undefined;
  private asked: Ask | null = null;
  /** Why nothing moves any more. */
  private failure: Error | null = null;

  constructor(private readonly options: RebalancerOptions) {
    const { config, placement } = options;
    this.config = config.load_balance;
    this.placement = placement;
    this.split = ['balanced', 'allgather'].includes(config.experts.replica_choice) ? 'balanced' : 'even';
    this.numSlots = numSlotsOf(placement.whole);
    this.nextPlan = this.config.step_interval;
  }

  /** Counts a step. Resolves when the plan that is made behind it, if any, is there or isn't to be. */
  observe({ load_LE }: Pick<ObservedStep, 'load_LE'>): Promise<void> {
    this.since?.load.push(load_LE);
    this.numSteps++;
    if (this.options.capacities() !== this.capacities) this.nextPlan = Math.min(this.nextPlan, this.restUntil);
    const isIdle = this.state.kind === 'waiting' && !this.options.mover.isMoving;
    return isIdle && this.numSteps >= this.nextPlan ? this.plan() : Promise.resolve();
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
    if (this.options.mover.isMoving) refuse('experts are being moved already; ask again when they have');
    if (this.numSteps === 0) refuse('no step has run, so that there is no load to plan for; ask again when some have');
    const outcome = new Promise<AskedRebalance>((resolve, reject) => (this.asked = { resolve, reject }));
    const { asked } = this;
    const giveUp = (): void => {
      if (this.asked === asked) this.takeAsk()?.reject(givenUp());
    };
    signal?.addEventListener('abort', giveUp, { once: true });
    if (this.state.kind === 'waiting') void this.plan();
    return outcome.finally(() => signal?.removeEventListener('abort', giveUp));
  }

  /** No step runs any more: whoever asked for a rebalance, or will, is told why. */
  fail(error: Error): void {
    this.failure ??= error;
    this.takeAsk()?.reject(error);
  }

  /** A new epoch: a plan over the ranks that were there before is for nothing. */
  enter(): void {
    const text = 'ranks came or went before experts had moved; ask again';
    this.takeAsk()?.reject(new EngineError('REBALANCE_FAILED', text));
    this.since = null;
    this.state = { kind: 'waiting' };
    this.nextPlan = this.numSteps + (isLacking(this.placement.left) ? 1 : this.config.step_interval);
  }

  /** What it did so far, and what that cost. */
  stats(): RebalanceStats {
    const { mover } = this.options;
    return { ...this.figures.stats(this.since, this.placement.left, this.split), ...mover.figures.stats() };
  }

  private async plan(): Promise<void> {
    const { window, spec, config, planning, mover } = this.options;
    const holders = this.options.holders();
    this.capacities = this.options.capacities();
    const current = this.placement.compacted(holders);
    const { numRanks, numExperts, slotsPerRank } = current;
    const numSlots = Math.min(this.numSlots, numRanks * slotsPerRank);
    const most = mostOf(numExperts);
    if (numSlots < most) {
      this.giveUp(`${numSlots} slots on the ${numRanks} ranks that are left, ${most} experts`, null);
      return;
    }
    // A planner can't tell nodes of different sizes.
    const numNodes = this.placement.lost.length > 0 ? 1 : config.comm.num_nodes;
    const speeds = speedsOf(this.capacities, holders, slotsPerRank);
    const topology: PlanTopology = { numRanks, numSlots, numNodes, numGroups: numGroupsOf(spec), ...speeds };
    const asked: State = { kind: 'planning' };
    this.state = asked;
    this.nextPlan = this.numSteps + this.config.step_interval;
    const { version } = this.placement;
    const isStale = (): boolean => this.failure !== null || this.state !== asked;
    try {
      const load_LE = window.load_LE.map((load_E) => load_E.slice());
      const plan = await planning.plan(load_LE, topology, current);
      if (isStale()) return;
      // Somebody else moved experts, or does.
      if (mover.isMoving || this.placement.version !== version) this.drop(movedMeanwhile());
      else this.planned(plan);
    } catch (error) {
      if (!isStale()) this.giveUp(error instanceof Error ? error.message : String(error), error);
    }
  }

  /** Moves to a plan, if it is worth going. */
  private planned({ placement: planned, report }: Plan): void {
    const { left } = this.placement;
    const { config, split } = this;
    const { before, after, planMs } = report;
    const predicted = { before: before?.[split] ?? 0, after: after[split] };
    const wanted = this.placement.expanded(planned, this.options.holders());
    const isWorth = this.asked !== null || isLacking(left) || predicted.after - predicted.before >= config.min_gain;
    if (!isWorth || changedLayers(left, wanted).length === 0) {
      this.figures.skipped();
      this.state = { kind: 'waiting' };
      this.takeAsk()?.resolve({ kind: 'unchanged', predicted });
      return;
    }
    this.state = { kind: 'moving' };
    this.options.mover.moveTo({ wanted, onEnd: (end) => this.ended(end, { before: left, planMs, predicted }) });
  }

  private ended(end: MoveEnd, plan: MovingPlan): void {
    if (end.kind === 'moved') this.finish(end.moved, plan);
    else if (end.kind === 'dropped') this.drop(end.error);
    else {
      const text = `experts were not moved (rank ${end.rank}: ${end.why}); the placement stays as it is, and is planned again after load_balance.cool_down steps`;
      this.tellFailure(new EngineError('REBALANCE_FAILED', text, { rank: end.rank }));
    }
  }

  private finish(moved: Moved, { before, planMs, predicted }: MovingPlan): void {
    const done = { ...moved, planMs, predicted };
    this.figures.done(done);
    const shape = { numLayers: before.phy2log.length, numExperts: before.numExperts };
    this.since = { before, load: new LoadWindow({ ...shape, windowSize: Infinity }) };
    this.rest();
    this.takeAsk()?.resolve({ kind: 'done', ...done });
    this.options.onRebalance?.({ kind: 'done', ...done });
  }

  /** Nobody is to blame: the next plan comes when it is time. */
  private drop(error: EngineError): void {
    this.rest();
    this.takeAsk()?.reject(error);
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
    this.restUntil = this.numSteps + this.config.cool_down;
    this.nextPlan = Math.max(this.nextPlan, this.restUntil);
  }
}

const movedMeanwhile = (): EngineError =>
  new EngineError('REBALANCE_FAILED', 'experts were moved for another reason before there was a plan; ask again');

const givenUp = (): EngineError => new EngineError('CLOSED', 'who asked for a rebalance waits for it no more');

/** Whether some expert has no replica left. */
const isLacking = ({ logcnt }: Placement): boolean => logcnt.some((counts) => counts.includes(0));
