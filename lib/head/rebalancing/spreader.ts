/**
 * Spreads experts anew over the ranks that may hold some whenever these change: who joined gets a share, who is to go gives its own away, and copies that
 * were lost with a rank are made again. Where nobody balances the load, who falls behind gets less, too. It begins from what is where, so that little moves. {@link Mover} moves them, also where nobody asks for tokens.
 */
import { mostOf } from '../../../experts/placement/expert_counts.js';
import { changedLayers } from '../../../experts/layer/migration_plan.js';
import type { LoadWindow } from '../../../experts/load/load_window.js';
import type { LivePlacement } from '../../../experts/placement/live_placement.js';
import { eplbStable } from '../../../experts/placement/planners/eplb_stable.js';
import type { ExpertLoad, Plan } from '../../../experts/placement/planners/planner.js';
import { speedsOf, type PlanTopology } from '../../../experts/placement/planners/topology.js';
import { EngineError } from '../../protocol/errors.js';
import type { OnExperts } from './experts_event.js';
import type { Moved, MoveEnd } from './move_stats.js';
import type { Mover } from './mover.js';
import type { Planning } from './planner_thread.js';

/** Who plans and who moves. */
export interface SpreaderOptions {
  /** What the job runs with. */
  readonly placement: LivePlacement;
  /** The load to plan for, that of the last steps; where there is none, all experts count alike. */
  readonly window: Pick<LoadWindow, 'load_LE'>;
  readonly mover: Pick<Mover, 'moveTo' | 'isMoving'>;
  /** Its owner closes it. */
  readonly planning: Planning;
  /** Slots that the job began with, over all ranks: experts and further copies of them. */
  readonly numSlots: number;
  readonly numGroups: number;
  /** By rank, what each computes in the same time; undefined: all alike. */
  readonly capacities: () => readonly number[] | undefined;
  /** Ranks that fell behind. */
  readonly slow: () => readonly number[];
  /** Steps without another plan for ranks that are slow, after one. */
  readonly numRestSteps: number;
  /** Has steps run though nobody asks for tokens. */
  readonly onUrgent: () => void;
  /** Told of all that moved, and of every failure. */
  readonly onExperts: OnExperts;
}

/** What ranks are taken for. */
interface Speeds {
  readonly capacities: readonly number[] | undefined;
  /** Ascending. */
  readonly slow: readonly number[];
}

/** Until experts are where they should be. */
interface Spreading {
  readonly why: string;
  readonly done: Promise<Moved>;
  resolve(moved: Moved): void;
  reject(error: Error): void;
  /** Over all ranks. Fewer where memory doesn't hold copies. */
  numSlots: number;
}

/** One of a job whose ranks may come and go. */
export class Spreader {
  private current: Spreading | null = null;
  /** Ranks that may hold experts, ascending. */
  private holders: readonly number[];
  /** Of the plan that is being made: earlier ones are for nothing. */
  private numPlans = 0;
  /** A plan is wanted when every expert has a home. */
  private isDue = false;
  /** As the last plan took the ranks. */
  private known: Speeds = { capacities: undefined, slow: [] };
  /** Steps until the next plan for ranks that are slow. */
  private numRestSteps = 0;
  private failure: Error | null = null;

  constructor(private readonly options: SpreaderOptions) {
    this.holders = options.placement.ranks;
  }

  /** Those who may hold experts from now on, in a new epoch: what was being moved was dropped, and what is wanted is planned anew. */
  enter(holders: readonly number[], why: string): void {
    const isSame = holders.join() === this.holders.join();
    this.holders = holders;
    this.numPlans++; // one that is being made is for nothing
    if (!isSame) this.begin(why);
    this.isDue = this.current !== null;
  }

  /** After a step, where nobody else moves experts for the load: ranks that fell behind, or caught up, get another share. */
  observe(): void {
    const { capacities, mover } = this.options;
    if (this.numRestSteps > 0) this.numRestSteps--;
    if (this.numRestSteps > 0 || this.current !== null || mover.isMoving) return;
    const speeds = { capacities: capacities(), slow: this.options.slow() };
    if (!isNews(speeds, this.known)) return;
    this.numRestSteps = this.options.numRestSteps;
    void this.plan(this.begin(slowText(speeds.slow)));
  }

  /** Every expert has a home in this epoch, and steps can run. */
  settle(): void {
    if (!this.isDue || this.current === null) return;
    this.isDue = false;
    void this.plan(this.current);
  }

  /**
   * Resolves when experts are spread over those who may hold them now; at once where they are.
   * @throws EngineError REBALANCE_FAILED: some rank couldn't take its share; everything stays where it is. CLOSED
   */
  async spread(why: string): Promise<Moved> {
    if (this.failure !== null) throw this.failure;
    if (this.current !== null) return this.current.done;
    const spreading = this.begin(why);
    void this.plan(spreading);
    return spreading.done;
  }

  /** No step runs any more: whoever waits, or will, is told why. */
  fail(error: Error): void {
    this.failure ??= error;
    const { current } = this;
    this.current = null;
    current?.reject(error);
  }

  private begin(why: string): Spreading {
    const before = this.current;
    let settle!: Pick<Spreading, 'resolve' | 'reject'>;
    const done = new Promise<Moved>((resolve, reject) => (settle = { resolve, reject }));
    done.catch(() => undefined); // often nobody waits
    const { numSlots } = this.options;
    const next: Spreading = before === null ? { why, done, ...settle, numSlots } : { ...before, numSlots };
    this.current = next;
    return next;
  }

  private async plan(spreading: Spreading): Promise<void> {
    const number = ++this.numPlans;
    const { placement, mover } = this.options;
    const { holders } = this;
    const capacities = this.options.capacities();
    this.known = { capacities, slow: this.options.slow() };
    const current = placement.compacted(holders);
    const numSlots = Math.min(
      spreading.numSlots,
      holders.length * Math.min(current.slotsPerRank, mostOf(current.numExperts)),
    );
    const topology: PlanTopology = {
      numRanks: holders.length,
      numSlots,
      numNodes: 1,
      numGroups: this.options.numGroups,
      ...speedsOf(capacities, holders, current.slotsPerRank),
    };
    const plan = await this.planned(topology, current);
    if (number !== this.numPlans || this.current !== spreading) return;
    if (plan instanceof Error) {
      this.give(spreading, plan);
      return;
    }
    const wanted = placement.expanded(plan.placement, holders);
    if (changedLayers(placement.left, wanted).length === 0) {
      this.finish(spreading, nothingMoved(placement.version));
      return;
    }
    mover.moveTo({ wanted, isUrgent: true, onEnd: (end) => this.ended(spreading, end) });
    this.options.onUrgent();
  }

  /** By the configured planner, or, where it can't plan for these ranks, by the one that can for any. */
  private async planned(
    topology: PlanTopology,
    current: ReturnType<LivePlacement['compacted']>,
  ): Promise<Plan | EngineError> {
    const load_LE = this.load();
    try {
      return await this.options.planning.plan(load_LE, topology, current);
    } catch {
      // What it is, the rebalancer says, where there is one.
    }
    try {
      return eplbStable().plan(load_LE, topology, current);
    } catch (cause) {
      const text = `experts can't be spread over ranks ${this.holders.join(', ')} (${String(cause)}); the present placement stays`;
      return new EngineError('REBALANCE_FAILED', `${text}; start the job again`, { cause });
    }
  }

  private load(): ExpertLoad {
    const { window } = this.options;
    return window.load_LE.map((load_E) => (load_E.some((load) => load > 0) ? load_E.slice() : load_E.map(() => 1)));
  }

  private ended(spreading: Spreading, end: MoveEnd): void {
    if (this.current !== spreading || end.kind === 'dropped') return; // a new epoch plans anew
    if (end.kind === 'moved') return this.finish(spreading, end.moved);
    const numExperts = mostOf(this.options.placement.whole.numExperts);
    if (end.code === 'OUT_OF_MEMORY' && spreading.numSlots > numExperts) {
      spreading.numSlots = numExperts; // without copies
      return void this.plan(spreading);
    }
    const text = `experts were not moved (rank ${end.rank}: ${end.why}); the placement stays as it is: look at that rank's log, and try again`;
    this.give(spreading, new EngineError('REBALANCE_FAILED', text, { rank: end.rank }));
  }

  private finish(spreading: Spreading, moved: Moved): void {
    this.current = null;
    spreading.resolve(moved);
    this.options.onExperts({ kind: 'spread', why: spreading.why, moved });
  }

  private give(spreading: Spreading, error: EngineError): void {
    this.current = null;
    spreading.reject(error);
    this.options.onExperts({ kind: 'failed', why: spreading.why, error });
  }
}

const nothingMoved = (version: number): Moved => ({ version, step: 0, numMovedExperts: 0, movedBytes: 0, numSteps: 0 });

/** A slow rank that computes so much less than it was taken for is news. */
const LESS_BY = 2 / 3;

/** Who fell behind or caught up, or fell behind further, is worth a plan; how a measure goes up and down isn't. */
function isNews(now: Speeds, known: Speeds): boolean {
  if (now.capacities === known.capacities) return false;
  const isFurther = (rank: number): boolean =>
    (now.capacities?.[rank] ?? 1) < LESS_BY * (known.capacities?.[rank] ?? 1);
  return now.slow.join() !== known.slow.join() || now.slow.some(isFurther);
}

function slowText(slow: readonly number[]): string {
  if (slow.length === 0) return 'no rank is slow any more';
  return slow.length === 1 ? `rank ${slow[0]} is slow` : `ranks ${slow.join(', ')} are slow`;
}
