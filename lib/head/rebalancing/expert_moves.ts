/** All that changes where the experts of a job are: losses that are made good, ranks that come and go, and the load. One mover carries them. */
import type { LoadWindow } from '../../../experts/load/load_window.js';
import type { LivePlacement } from '../../../experts/placement/live_placement.js';
import { slicedLoad } from '../../../experts/placement/slices.js';
import type { Job } from '../../job/job.js';
import type { SettledConfig } from '../../config/loss_policy.js';
import { holdersOf, type Members } from '../../job/members.js';
import type { EpochChange } from '../../job/step_runner.js';
import { numSlicesOf } from '../../model/spec/slices.js';
import type { ModelSpec } from '../../model/spec/spec.js';
import { EngineError } from '../../protocol/errors.js';
import { moveLimitsOf } from '../../protocol/rank_job.js';
import type { StepPlan } from '../../protocol/step_plan.js';
import type { ObservedStep, StepObserver } from '../observing/step_observer.js';
import type { OnExperts } from './experts_event.js';
import type { Moved } from './move_stats.js';
import { Mover } from './mover.js';
import { numGroupsOf, numSlotsOf } from './planner_check.js';
import { PlannerThread, type Planning } from './planner_thread.js';
import type { AskedRebalance, OnRebalance, RebalanceStats } from './rebalance_stats.js';
import { Rebalancer } from './rebalancer.js';
import { Recovery } from './recovery.js';
import { Spreader } from './spreader.js';

/** A job, and who is told of its experts. */
export interface ExpertMovesOptions {
  readonly config: SettledConfig;
  readonly spec: ModelSpec;
  readonly job: Pick<Job, 'move' | 'gather' | 'expertDigests' | 'members'>;
  /** What the job runs with. Changed here when experts have moved, by others when ranks come or go. */
  readonly placement: LivePlacement;
  /** The load of the last steps, which somebody else keeps up to date. */
  readonly window: Pick<LoadWindow, 'load_LE'>;
  /** Who plans while steps run. Default: a thread with the planner of the configuration. */
  readonly planning?: Planning | undefined;
  /** The next step waits for a plan. Default false. */
  readonly awaitsPlans?: boolean | undefined;
  /** By rank, what each computes in the same time; undefined: all alike. */
  readonly capacities: () => readonly number[] | undefined;
  /** Ranks that fell behind, and are to get less work. */
  readonly slow: () => readonly number[];
  /** Has steps run though nobody asks for tokens. */
  readonly onUrgent: () => void;
  readonly onRebalance: OnRebalance;
  readonly onExperts: OnExperts;
}

/** One of a job. Where experts stay, it does nothing. */
export class ExpertMoves implements StepObserver {
  private readonly planning: Planning;
  /** Null: experts stay where they are. */
  private readonly mover: Mover | null;
  private readonly rebalancer: Rebalancer | null;
  /** Null: what lost ranks held is missing. */
  private readonly recovery: Recovery | null;
  private readonly spreader: Spreader | null;
  private holders: readonly number[];
  private readonly options: ExpertMovesOptions;
  /** Of an expert: what moves are slices. */
  private readonly numSlices: number;

  constructor(asked: ExpertMovesOptions) {
    const { config, spec, job, placement } = asked;
    this.numSlices = numSlicesOf(spec);
    const options = { ...asked, window: slicedWindow(asked.window, this.numSlices) };
    this.options = options;
    this.holders = holdersOf(job.members);
    this.planning = options.planning ?? new PlannerThread(config.load_balance.planner, config.plugins);
    const limits = moveLimitsOf(config, spec);
    const isRecovering = config.comm.on_peer_loss === 'recover';
    this.mover = limits && new Mover({ job, spec, placement, numNodes: config.comm.num_nodes, limits });
    const { mover, planning } = this;
    const parts = { ...options, planning, holders: () => this.holders };
    this.rebalancer = mover && config.load_balance.enabled ? new Rebalancer({ ...parts, mover }) : null;
    this.recovery = limits && isRecovering ? new Recovery({ ...options, limits }) : null;
    const { cool_down: numRestSteps } = config.load_balance;
    const slots = { numSlots: numSlotsOf(placement.whole), numGroups: numGroupsOf(spec) };
    this.spreader = mover && isRecovering ? new Spreader({ ...parts, ...slots, mover, numRestSteps }) : null;
  }

  /** Experts move beside steps: each is planned when the results of the one before are there. */
  get isMoving(): boolean {
    return this.mover?.isMoving === true;
  }

  /** Steps are to run for that alone, where none run otherwise. */
  get isUrgent(): boolean {
    return this.mover?.isUrgent === true;
  }

  /** Before a step is planned: what it runs with, and beside it. @throws InternalError where some expert has no home */
  next(step: Pick<StepPlan, 'epoch' | 'step'>): Pick<StepPlan, 'placementVersion' | 'moveRound'> {
    this.recovery?.check();
    return this.mover?.next(step) ?? { placementVersion: this.options.placement.version };
  }

  /** Hears of a step. */
  observe(step: ObservedStep): Promise<void> | undefined {
    const planned = this.rebalancer?.observe({ load_LE: slicedLoad(step.load_LE, this.numSlices) });
    this.mover?.observe(step);
    if (this.rebalancer === null) this.spreader?.observe();
    return this.options.awaitsPlans === true ? planned : undefined;
  }

  /** A new epoch, which the placement has entered. */
  enter({ members, lost, joined }: EpochChange): void {
    this.holders = holdersOf(members);
    this.mover?.enter();
    this.rebalancer?.enter();
    this.spreader?.enter(this.holders, whyOf({ members, lost, joined }));
  }

  /**
   * When all are in an epoch, and no step runs: every expert gets a home. False: ranks came or went before that was seen to.
   * @throws EngineError NO_ROOM, EXPERTS_LOST
   */
  async settle(members: Members): Promise<boolean> {
    const outcome = await this.recovery?.run(members);
    if (outcome?.kind === 'abandoned') return false;
    if (outcome?.kind === 'recovered') this.options.onExperts(outcome);
    this.spreader?.settle();
    return true;
  }

  /** @throws as {@link Rebalancer.rebalance}; EngineError INVALID_REQUEST where nothing is balanced */
  async rebalance(signal?: AbortSignal): Promise<AskedRebalance> {
    if (this.rebalancer !== null) return this.rebalancer.rebalance(signal);
    const text = 'load_balance.enabled is false, so that no load is balanced; start with load_balance.enabled=true';
    throw new EngineError('INVALID_REQUEST', text);
  }

  /** Experts that ranks got from others so far. */
  get numMoved(): number {
    return this.mover?.figures.numMovedExperts ?? 0;
  }

  /** Experts will be spread soon: a planner that starts only then would compete with the steps that everybody waits for. */
  prepare(): void {
    if (this.spreader !== null) this.planning.prepare();
  }

  /**
   * Resolves when experts are spread over those who may hold them now.
   * @throws as {@link Spreader.spread}; EngineError INVALID_REQUEST where losses aren't made good
   */
  async spread(why: string): Promise<Moved> {
    if (this.spreader !== null) return this.spreader.spread(why);
    const text = 'experts follow ranks that come and go where comm.on_peer_loss is recover alone; start with that';
    throw new EngineError('INVALID_REQUEST', text);
  }

  /** Null where no load is balanced. */
  stats(): RebalanceStats | null {
    return this.rebalancer?.stats() ?? null;
  }

  /** No step runs any more: whoever waits, or will, is told why. */
  fail(error: Error): void {
    this.rebalancer?.fail(error);
    this.spreader?.fail(error);
  }

  /** Ends a plan that is being made. Idempotent. */
  close(): Promise<void> {
    return this.planning.close();
  }
}

/** The load of slices. */
const slicedWindow = (window: ExpertMovesOptions['window'], numSlices: number): ExpertMovesOptions['window'] => ({
  get load_LE() {
    return slicedLoad(window.load_LE, numSlices);
  },
});

/** What changed, in words. */
function whyOf({ members, lost, joined }: Pick<EpochChange, 'members' | 'lost' | 'joined'>): string {
  const named = (what: string, ranks: Iterable<number>): string[] => {
    const list = [...ranks];
    return list.length === 0 ? [] : [`${list.length === 1 ? 'rank' : 'ranks'} ${list.join(', ')} ${what}`];
  };
  const news = [
    ...named(
      lost.length === 1 ? 'was lost' : 'were lost',
      lost.map(({ rank }) => rank),
    ),
    ...named('joined', joined),
    ...named('to leave', members.leaving),
    ...named('demoted', members.demoted),
  ];
  return news.length === 0 ? 'ranks came or went' : news.join(', ');
}
