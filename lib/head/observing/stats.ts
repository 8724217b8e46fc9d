/** Counters of a whole job, for summaries, `--json` and benchmarks. */
import type { ExpertCounts } from '../../../experts/placement/expert_counts.js';
import type { Residence } from '../../model/weights/residence.js';
import { balancedness, balanceSums } from '../../../experts/placement/balance.js';
import { LoadMonitor } from '../../../experts/load/load_monitor.js';
import type { LoadWindow } from '../../../experts/load/load_window.js';
import { STEP_PHASES, type StepPhase } from '../../../compute/base/stopwatch.js';
import { BalanceSeries, type BalancePoint } from '../../metrics/balance_series.js';
import type { Job } from '../../job/job.js';
import type { EpochChange } from '../../job/step_runner.js';
import type { LoadReport, RankStats } from '../../protocol/step_plan.js';
import { PairTotals } from './pair_totals.js';
import { isThere, statesAfter, type RankState } from './rank_states.js';
import type { ObservedStep, StepObserver } from './step_observer.js';

/** What the steps of a job came to so far. */
export interface StepStats {
  /** Seats up to the highest that was ever taken: what is by rank has so many. */
  readonly numRanks: number;
  /** What has become of each of them. */
  readonly rankStates: readonly RankState[];
  /** Of the members: it grows when ranks come, go or are lost. */
  readonly epoch: number;
  /** Of the ranks, in their order, each once: `wasm`, or `wasm + cpu`. */
  readonly backend: string;
  /** In the same way: `kernels`, or `kernels + tensors`. */
  readonly compute: string;
  /** The same on all ranks. */
  readonly resident: Pick<Residence, 'experts' | 'dense'>;
  readonly numSteps: number;
  /** Of prompts, computed: without those that another sequence's blocks held. */
  readonly numPromptTokens: number;
  readonly numOutputTokens: number;
  /** Ranks that were lost, and whose seats nobody has taken; ascending. */
  readonly lostRanks: readonly number[];
  /** Tokens that a committed step computed without one of their experts, because no rank that holds it was left. */
  readonly numDegradedTokens: number;
  /** Choices of experts that weighed too little (`experts.skip_threshold`): in no load. */
  readonly numSkippedChoices: number;
  /** Time spent in steps. */
  readonly stepMs: number;
  /** Per phase, summed over steps, mean over ranks. */
  readonly phasesMs: Readonly<Record<StepPhase, number>>;
  /** The same of each rank; of a lost one, until it was lost. */
  readonly rankPhasesMs: readonly Readonly<Record<StepPhase, number>>[];
  /** Bytes on the wire, [source][destination]; what stays on a rank is 0. */
  readonly dispatchBytes: readonly (readonly number[])[];
  readonly combineBytes: readonly (readonly number[])[];
  /** [source][destination]: milliseconds that the destination waited for the source's rows. */
  readonly waitMs: readonly (readonly number[])[];
  /** Tokens per MoE layer and logical expert, [L][E]. */
  readonly expertLoad: readonly Float64Array[];
  /** Tokens per MoE layer and rank whose experts computed them, [L][R], since ranks came or went last. */
  readonly rankLoad: readonly Float64Array[];
  /** Per MoE layer, Σ over steps of the load of the busiest rank, for which the others wait; since ranks came or went last. */
  readonly makespan: readonly number[];
  /** Mean rank load / max rank load, per MoE layer, of the ranks that are there, since ranks came or went last: 1 = perfect. */
  readonly balancedness: readonly number[];
  /** {@link expertLoad} of the last `load_balance.window_size` steps, a step weighing `load_balance.decay` of the next one's. */
  readonly windowLoad: readonly Float64Array[];
  /** Of every step, neighbours joined in long runs: of what the ranks computed that were left then. */
  readonly balanceOverTime: readonly BalancePoint[];
  /** A lost rank's are those of its last step. */
  readonly ranks: readonly RankStats[];
  readonly loadReports: readonly LoadReport[];
  /** Seats of ranks that are ready to be members, and kept for losses (`parallel.spare_ranks`). */
  readonly spares: readonly number[];
}

/** Counts what steps come to, for {@link StepStats}. */
export class StatsCollector implements StepObserver {
  private readonly load: LoadMonitor;
  private readonly series = new BalanceSeries();
  private readonly rankLoad: LoadMonitor;
  private makespan: readonly number[];
  private readonly phasesMs = noTime();
  private readonly rankPhasesMs: readonly Record<StepPhase, number>[];
  private readonly dispatchBytes = new PairTotals();
  private readonly combineBytes = new PairTotals();
  /** Of each destination a row. */
  private readonly waitMs = new PairTotals();
  private ranks: readonly RankStats[] = [];
  private readonly sums = {
    ...{ numSteps: 0, numPromptTokens: 0, numOutputTokens: 0 },
    ...{ numDegradedTokens: 0, numSkippedChoices: 0, stepMs: 0 },
  };
  private epoch: number;
  private rankStates: readonly RankState[];

  /** `window`: the load of the last steps, which somebody else keeps up to date. */
  constructor(
    private readonly job: Pick<Job, 'reports' | 'numSeats' | 'members' | 'spares'>,
    { numLayers, numExperts }: { readonly numLayers: number; readonly numExperts: ExpertCounts },
    private readonly window: Pick<LoadWindow, 'load_LE'>,
  ) {
    this.load = new LoadMonitor(numLayers, numExperts);
    this.rankLoad = new LoadMonitor(numLayers, job.numSeats);
    this.makespan = Array.from({ length: numLayers }, () => 0);
    this.rankPhasesMs = Array.from({ length: job.numSeats }, noTime);
    this.epoch = job.members.epoch;
    this.rankStates = statesAfter([], { members: job.members, lost: [] });
  }

  /** Adds a step to the sums. */
  observe({ step, plans, results, stepMs, load_LE, rankLoad_LR }: ObservedStep): void {
    const { sums } = this;
    sums.numSteps++;
    sums.stepMs += stepMs;
    this.ranks = results.map((result, rank) => result?.stats ?? this.ranks[rank] ?? nothingOf(results.length));
    this.dispatchBytes.add(results.map((result) => result?.stats.dispatchBytes));
    this.combineBytes.add(results.map((result) => result?.stats.combineBytes));
    this.waitMs.add(results.map((result) => result?.stats.waitMs));
    const promptParts = plans.flatMap(({ parts }) => parts.filter(({ isPrompt }) => isPrompt));
    for (const part of promptParts) if (!part.isReplay) sums.numPromptTokens += part.tokenIds.length;
    this.makespan = this.makespan.map((sum, moeLayer) => sum + Math.max(...rankLoad_LR[moeLayer]!));
    const present = results.filter((result) => result !== null);
    for (const { outputs, phasesMs, numSkipped = 0 } of present) {
      sums.numSkippedChoices += numSkipped;
      sums.numOutputTokens += outputs.filter(({ tokenId }) => tokenId !== null).length;
      for (const { degraded = [] } of outputs) sums.numDegradedTokens += degraded.length;
      for (const phase of STEP_PHASES) this.phasesMs[phase] += phasesMs[phase] / present.length;
    }
    for (const [rank, phasesMs] of this.rankPhasesMs.entries()) {
      for (const phase of STEP_PHASES) phasesMs[phase] += results[rank]?.phasesMs[phase] ?? 0;
    }
    this.load.merge(load_LE);
    this.rankLoad.merge(rankLoad_LR);
    const numPromptTokens = promptParts.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
    this.series.push(step, balanceSums(rankLoad_LR.map((load_R) => this.ofThoseThere(load_R))), numPromptTokens);
  }

  /** Balance is counted anew, of the ranks that are there. */
  enter(change: EpochChange): void {
    this.epoch = change.epoch;
    this.rankStates = statesAfter(this.rankStates, change);
    for (const rank of change.joined) {
      for (const totals of [this.dispatchBytes, this.combineBytes, this.waitMs]) totals.begin(rank);
    }
    this.rankLoad.reset();
    this.makespan = this.makespan.map(() => 0);
  }

  /** Per rank that is there. */
  private ofThoseThere(load_R: Float64Array): Float64Array {
    return load_R.filter((_, rank) => isThere(this.rankStates[rank]));
  }

  /** Seats up to the highest that was ever taken. */
  get numRanks(): number {
    return this.rankStates.length;
  }

  /** Copies, but for what ranks report. */
  stats(): StepStats {
    const { numRanks, rankStates, epoch } = this;
    const reports = this.job.reports.slice(0, numRanks);
    const rankLoad = this.rankLoad.snapshot();
    const ranks = this.ranks.slice(0, numRanks);
    return {
      ...{ numRanks, rankStates, epoch },
      backend: each(reports.map(({ backend }) => backend)),
      compute: each(reports.map(({ residence }) => residence.compute)),
      resident: reports[0]!.residence,
      ...this.sums,
      lostRanks: [...rankStates.keys()].filter((rank) => rankStates[rank] === 'lost'),
      phasesMs: { ...this.phasesMs },
      rankPhasesMs: this.rankPhasesMs.slice(0, numRanks).map((phasesMs) => ({ ...phasesMs })),
      dispatchBytes: this.dispatchBytes.table(numRanks),
      combineBytes: this.combineBytes.table(numRanks),
      waitMs: transposed(this.waitMs.table(numRanks)),
      expertLoad: this.load.snapshot(),
      windowLoad: this.window.load_LE.map((load_E) => load_E.slice()),
      rankLoad: rankLoad.map((load_R) => load_R.slice(0, numRanks)),
      makespan: this.makespan,
      balancedness: rankLoad.map((load_R) => balancedness(this.ofThoseThere(load_R))),
      balanceOverTime: [...this.series.points],
      ranks,
      loadReports: reports,
      spares: this.job.spares,
    };
  }
}

const transposed = (table: readonly (readonly number[])[]): number[][] =>
  table.map((_, column) => table.map((row) => row[column]!));

const each = (names: readonly string[]): string => [...new Set(names)].join(' + ');

const noTime = (): Record<StepPhase, number> =>
  Object.fromEntries(STEP_PHASES.map((phase) => [phase, 0])) as Record<StepPhase, number>;

/** Of a rank that was lost before its first step ended. */
function nothingOf(numRanks: number): RankStats {
  const none = new Array<number>(numRanks).fill(0);
  return {
    ...{ numTensors: 0, tensorBytes: 0, kernelBytes: 0, numKernelCalls: 0, numKernelRuns: 0 },
    ...{ numCopies: 0, copiedBytes: 0, numKvBlocks: 0, peakRssBytes: 0 },
    ...{ dispatchBytes: none, combineBytes: none, waitMs: none },
  };
}
