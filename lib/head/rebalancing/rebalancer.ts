/**
 * The head's part of live rebalancing. Every so many steps it has a plan made from the load of the last ones; if that gains enough, experts move beside
 * the steps, some layers at a time. When every rank holds all that the next version of the placement needs, it is in force from the next step on;
 * until then, and whenever something fails, the present one is.
 */
import { LoadWindow } from '../../../experts/load/load_window.js';
import type { MigrationOrder } from '../../../experts/layer/migration.js';
import { changedLayers, copiesFor, type ExpertCopy } from '../../../experts/layer/migration_plan.js';
import { placementFrom, withoutRanks, type Placement } from '../../../experts/placement/placement.js';
import type { Plan } from '../../../experts/placement/planners/planner.js';
import type { PlanTopology } from '../../../experts/placement/planners/topology.js';
import type { ReplicaSplit } from '../../../experts/placement/replica_split.js';
import { compacted, expanded } from '../../../experts/placement/survivors.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { EngineError } from '../../protocol/errors.js';
import type { Planning } from './planner_thread.js';
import { numSlotsOf } from './planner_check.js';
import { RebalanceFigures, type OnRebalance, type RebalanceStats, type SinceRebalance } from './rebalance_stats.js';
import type { MoveOrder, StepPlan, StepResult } from '../../protocol/step_plan.js';

export interface RebalancerOptions {
  readonly config: ExpertwireConfig['load_balance'];
  readonly placement: Placement;
  /** The load [L][E] to plan for: that of the last steps. */
  readonly windowLoad: () => readonly Float64Array[];
  /** Bytes that a rank sends, and receives, beside one step at most. */
  readonly bytesPerStep: number;
  readonly numNodes: number;
  /** Groups of experts that the gate picks from. */
  readonly numGroups: number;
  /** How load is shared out over replicas. */
  readonly split: ReplicaSplit;
  readonly planning: Planning;
  /** Tells every rank that is left, before its next step; false where the epoch is over, and nobody was told. */
  readonly tell: (move: MoveOrder, epoch: number) => boolean;
  /** What an expert is, by the number of its MoE layer. Default: nobody knows, and what is read from disk is taken as it is. */
  readonly digestOf?: ((moeLayer: number, logical: number) => string | undefined) | undefined;
  readonly onRebalance?: OnRebalance | undefined;
}

/** A plan on its way: layers that switch together, one group after the other. */
interface Moving {
  readonly kind: 'moving';
  readonly before: Placement;
  /** [MoE layers] of the placement that is wanted. */
  readonly target: readonly Int32Array[];
  readonly groups: number[][];
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
  | { readonly kind: 'planned'; readonly plan: Plan; readonly ranks: readonly number[] }
  | Moving;

export class Rebalancer {
  private readonly options: RebalancerOptions;
  private readonly numSlots: number;
  private readonly figures = new RebalanceFigures();
  private state: State = { kind: 'waiting' };
  private since: SinceRebalance | null = null;
  private whole: Placement;
  private left: Placement;
  private lost: readonly number[] = [];
  private numSteps = 0;
  /** Steps after which the next plan may be made. */
  private nextPlan: number;
  private epoch = 0;
  private step = 0;
  private isClosed = false;

  constructor(options: RebalancerOptions) {
    const { config, placement } = options;
    this.options = options;
    this.numSlots = numSlotsOf(placement);
    this.whole = this.left = placement;
    this.nextPlan = config.step_interval;
  }

  /** The placement in force; what lost ranks held is still in it. */
  get placement(): Placement {
    return this.whole;
  }

  /** Between two steps: what the next one runs with, and beside it. */
  next({ epoch, step }: Pick<StepPlan, 'epoch' | 'step'>): Pick<StepPlan, 'placementVersion' | 'moveRound'> {
    [this.epoch, this.step] = [epoch, step];
    if (this.state.kind === 'planned') this.state = this.movingTo(this.state);
    if (this.state.kind === 'moving') this.proceed(this.state);
    const { state } = this;
    const isMoving = state.kind === 'moving' && state.order !== null && !state.isComplete;
    return { placementVersion: this.whole.version, ...(isMoving && { moveRound: state.round }) };
  }

  /** After a step that counts; `load_LE`: its load. */
  stepped(load_LE: readonly ArrayLike<number>[], results: readonly (StepResult | null)[], stepMs: number): void {
    this.since?.load.push(load_LE);
    this.numSteps++;
    if (this.state.kind === 'moving' && this.state.order !== null) this.moved(this.state, results, stepMs);
    else this.figures.stepped(stepMs);
    if (this.state.kind === 'waiting' && this.numSteps >= this.nextPlan) void this.plan();
  }

  /** A new epoch without these ranks, all that were lost so far. The ranks that are left have dropped what was being moved. */
  lose(lost: readonly number[]): void {
    this.lost = lost;
    this.left = withoutRanks(this.whole, lost);
    this.since = null;
    this.state = { kind: 'waiting' };
    this.nextPlan = this.numSteps + (isLacking(this.left) ? 1 : this.options.config.step_interval);
  }

  stats(): RebalanceStats {
    return this.figures.stats(this.since, this.left, this.options.split);
  }

  /** Ends a plan that is being made. Idempotent. */
  close(): Promise<void> {
    this.isClosed = true;
    return this.options.planning.close();
  }

  private async plan(): Promise<void> {
    const { planning, numNodes, numGroups, config } = this.options;
    const ranks = [...Array(this.whole.numRanks).keys()].filter((rank) => !this.lost.includes(rank));
    const numSlots = Math.min(this.numSlots, ranks.length * this.whole.slotsPerRank);
    if (numSlots < this.whole.numExperts) {
      this.giveUp(
        `${numSlots} slots on the ${ranks.length} ranks that are left, ${this.whole.numExperts} experts`,
        null,
      );
      return;
    }
    // A planner can't tell nodes of different sizes.
    const topology: PlanTopology = {
      numRanks: ranks.length,
      numSlots,
      numNodes: this.lost.length > 0 ? 1 : numNodes,
      numGroups,
    };
    const asked: State = { kind: 'planning' };
    this.state = asked;
    this.nextPlan = this.numSteps + config.step_interval;
    const isStale = (): boolean => this.isClosed || this.state !== asked;
    try {
      const load_LE = this.options.windowLoad().map((load_E) => load_E.slice());
      const plan = await planning.plan(load_LE, topology, compacted(this.left, ranks));
      if (!isStale()) this.state = { kind: 'planned', plan, ranks };
    } catch (error) {
      if (!isStale()) this.giveUp(error instanceof Error ? error.message : String(error), error);
    }
  }

  /** The way to a plan, if it is worth going. */
  private movingTo({ plan, ranks }: Extract<State, { kind: 'planned' }>): State {
    const { config, split } = this.options;
    const { before, after, planMs } = plan.report;
    const predicted = { before: before?.[split] ?? 0, after: after[split] };
    const target = expanded(plan.placement, ranks, this.whole);
    const wanted = this.placementWith(target);
    const layers = changedLayers(this.left, wanted);
    const isWorth = isLacking(this.left) || predicted.after - predicted.before >= config.min_gain;
    if (layers.length === 0 || !isWorth) {
      this.figures.skipped();
      return { kind: 'waiting' };
    }
    const size = config.layer_updates_per_step;
    const groups = Array.from({ length: Math.ceil(layers.length / size) }, (_, i) =>
      layers.slice(i * size, (i + 1) * size),
    );
    return {
      ...{ kind: 'moving', before: this.left, target, groups, order: null, round: 0, isComplete: false },
      ...{ numMovedExperts: 0, movedBytes: 0, numSteps: 0, planMs, predicted },
    };
  }

  /** Switches over what every rank holds, and begins with what comes next. */
  private proceed(moving: Moving): void {
    const { tell, bytesPerStep, numNodes } = this.options;
    const { epoch } = this;
    const { target, groups } = moving;
    for (;;) {
      if (moving.order !== null) {
        if (!moving.isComplete || !tell({ kind: 'commit', version: moving.order.version }, epoch)) return;
        this.commit(moving, moving.order);
      }
      const group = groups[0];
      if (group === undefined) return this.finish(moving);
      const wanted = this.placementWith(target);
      const copies = copiesFor(this.left, wanted, group, this.whole.numRanks / numNodes).map((copy) =>
        this.withDigest(copy),
      );
      const layers = group.map((moeLayer) => ({ moeLayer, phy2log: target[moeLayer]! }));
      const order: MigrationOrder = { version: this.whole.version + 1, layers, copies, bytesPerStep };
      if (!tell({ kind: 'prepare', order }, epoch)) return;
      groups.shift();
      moving.order = order;
      moving.round = 0;
      moving.isComplete = copies.length === 0;
    }
  }

  private withDigest(copy: ExpertCopy): ExpertCopy {
    const digest = copy.from === null ? this.options.digestOf?.(copy.moeLayer, copy.logical) : undefined;
    return digest === undefined ? copy : { ...copy, digest };
  }

  private commit(moving: Moving, { version, layers, copies }: MigrationOrder): void {
    const phy2log = [...this.whole.phy2log];
    for (const { moeLayer, phy2log: table } of layers) phy2log[moeLayer] = table;
    this.whole = placementFrom(version, this.whole.numRanks, this.whole.numExperts, phy2log);
    this.left = withoutRanks(this.whole, this.lost);
    moving.numMovedExperts += copies.length;
    moving.order = null;
  }

  private finish({ before, target, numMovedExperts, movedBytes, numSteps, planMs, predicted }: Moving): void {
    const { onRebalance } = this.options;
    const { numExperts } = this.whole;
    const done = {
      version: this.whole.version,
      step: this.step,
      numMovedExperts,
      movedBytes,
      numSteps,
      planMs,
      predicted,
    };
    this.figures.done(done);
    this.since = { before, load: new LoadWindow({ numLayers: target.length, numExperts, windowSize: Infinity }) };

    this.rest();
    onRebalance?.({ kind: 'done', ...done });
  }

  /** What the ranks say about moving after a step. */
  private moved(moving: Moving, results: readonly (StepResult | null)[], stepMs: number): void {
    const { version } = moving.order!;
    const reports = results.flatMap((result, rank) => (result === null ? [] : [{ rank, moved: result.moved }]));
    const bytes = reports.reduce((sum, { moved }) => sum + (moved?.receivedBytes ?? 0), 0);
    const stallMs = Math.max(...reports.map(({ moved }) => moved?.stallMs ?? 0));
    this.figures.moved({ bytes, stallMs, stepMs });
    moving.movedBytes += bytes;
    moving.numSteps++;
    moving.round++;
    const failed = reports.find(({ moved }) => moved?.version !== version || moved.error !== undefined);
    if (failed !== undefined) {
      const why = failed.moved?.error?.message ?? `it gathers version ${failed.moved?.version ?? '?'}, not ${version}`;
      // Its epoch may be over: then the ranks have dropped it already.
      this.options.tell({ kind: 'drop', version }, this.epoch);
      this.fail(`rank ${failed.rank}: ${why}`, failed.rank);
    } else moving.isComplete = reports.every(({ moved }) => moved!.isComplete);
  }

  /** The present placement stays. */
  private fail(why: string, rank: number): void {
    const text = `experts were not moved (${why}); the placement stays as it is, and is planned again after load_balance.cool_down steps`;
    this.tellFailure(new EngineError('REBALANCE_FAILED', text, { rank }));
  }

  /** No plan can be made: the next one would fail alike, unless a rank is lost. */
  private giveUp(why: string, cause: unknown): void {
    const text = `no placement can be planned (${why}); the present one stays: go on with it, or start the job again`;
    this.tellFailure(new EngineError('REBALANCE_FAILED', text, { cause }));
    this.nextPlan = Infinity;
  }

  private tellFailure(error: EngineError): void {
    this.figures.failed(error);
    this.rest();
    this.options.onRebalance?.({ kind: 'failed', error });
  }

  private rest(): void {
    this.state = { kind: 'waiting' };
    this.nextPlan = Math.max(this.nextPlan, this.numSteps + this.options.config.cool_down);
  }

  private placementWith(phy2log: readonly Int32Array[]): Placement {
    return placementFrom(this.whole.version + 1, this.whole.numRanks, this.whole.numExperts, phy2log);
  }
}

/** Whether some expert has no replica left. */
const isLacking = ({ logcnt }: Placement): boolean => logcnt.some((counts) => counts.includes(0));
