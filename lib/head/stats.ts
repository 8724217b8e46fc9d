/** Counters of a whole job, for summaries, `--json` and benchmarks. */
import type { Residence } from '../model/weights/residence.js';
import { balanceSums } from '../../experts/placement/balance.js';
import { LoadMonitor } from '../../experts/load/load_monitor.js';
import { LoadWindow, type LoadWindowOptions } from '../../experts/load/load_window.js';
import { STEP_PHASES, type StepPhase } from '../../compute/base/stopwatch.js';
import { balancedness } from '../metrics/balance.js';
import { BalanceSeries, type BalancePoint } from '../metrics/balance_series.js';
import type { RebalanceStats } from './rebalancing/rebalance_stats.js';
import type { LoadReport, RankStats, StepPlan, StepResult } from '../protocol/step_plan.js';

export interface EngineStats {
  readonly numRanks: number;
  /** Of the ranks, in their order, each once: `wasm`, or `wasm + cpu`. */
  readonly backend: string;
  /** In the same way: `kernels`, or `kernels + tensors`. */
  readonly compute: string;
  /** The same on all ranks. */
  readonly resident: Pick<Residence, 'experts' | 'dense'>;
  readonly numSteps: number;
  readonly numPromptTokens: number;
  readonly numOutputTokens: number;
  /** Ranks that were lost and that the job goes on without, ascending. */
  readonly lostRanks: readonly number[];
  /** Tokens that a committed step computed without one of their experts, because no rank that holds it was left. */
  readonly numDegradedTokens: number;
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
  /** Tokens per MoE layer and rank whose experts computed them, [L][R], since the last rank was lost. */
  readonly rankLoad: readonly Float64Array[];
  /** Per MoE layer, Σ over steps of the load of the busiest rank, for which the others wait; since the last rank was lost. */
  readonly makespan: readonly number[];
  /** Mean rank load / max rank load, per MoE layer, of the ranks that are left, since the last one was lost: 1 = perfect. */
  readonly balancedness: readonly number[];
  /** {@link expertLoad} of the last `load_balance.window_size` steps, a step weighing `load_balance.decay` of the next one's. */
  readonly windowLoad: readonly Float64Array[];
  /** Of every step, neighbours joined in long runs: of what the ranks computed that were left then. */
  readonly balanceOverTime: readonly BalancePoint[];
  /** Null where experts stay where they are (`load_balance.enabled`). */
  readonly rebalancing: RebalanceStats | null;
  /** A lost rank's are those of its last step. */
  readonly ranks: readonly RankStats[];
  readonly loadReports: readonly LoadReport[];
}

export class StatsCollector {
  private readonly reports: readonly LoadReport[];
  private readonly load: LoadMonitor;
  private readonly window: LoadWindow;
  /** Of the last step. */
  private readonly step: LoadMonitor;
  private readonly stepRankLoad: LoadMonitor;
  private readonly series = new BalanceSeries();
  private readonly rankLoad: LoadMonitor;
  private makespan: readonly number[];
  private readonly phasesMs = noTime();
  private readonly rankPhasesMs: readonly Record<StepPhase, number>[];
  private ranks: readonly RankStats[] = [];
  private numSteps = 0;
  private numPromptTokens = 0;
  private numOutputTokens = 0;
  private numDegradedTokens = 0;
  private lostRanks: readonly number[] = [];
  private stepMs = 0;

  constructor(reports: readonly LoadReport[], window: LoadWindowOptions) {
    const { numLayers, numExperts } = window;
    this.reports = reports;
    this.load = new LoadMonitor(numLayers, numExperts);
    this.step = new LoadMonitor(numLayers, numExperts);
    this.window = new LoadWindow(window);
    this.rankLoad = new LoadMonitor(numLayers, reports.length);
    this.stepRankLoad = new LoadMonitor(numLayers, reports.length);
    this.makespan = Array.from({ length: numLayers }, () => 0);
    this.rankPhasesMs = reports.map(noTime);
  }

  /** Tokens of the last committed step per MoE layer and logical expert, after masking, summed over ranks: [L][E]; changes with the next one. */
  get stepLoad(): readonly Float64Array[] {
    return this.step.load_LE;
  }

  /** Of the same step, tokens per MoE layer and rank that computed them, [L][R]; changes with the next one. */
  get stepRankLoad_LR(): readonly Float64Array[] {
    return this.stepRankLoad.load_LE;
  }

  /** What {@link EngineStats.windowLoad} copies: changes with the next step. */
  get windowLoad(): readonly Float64Array[] {
    return this.window.load_LE;
  }

  /** Counts one committed step; a lost rank has no result. */
  add(plans: readonly StepPlan[], results: readonly (StepResult | null)[], stepMs: number): void {
    this.numSteps++;
    this.stepMs += stepMs;
    this.ranks = results.map((result, rank) => result?.stats ?? this.ranks[rank] ?? nothingOf(results.length));
    for (const { parts } of plans) {
      for (const part of parts) if (part.isPrompt && !part.isReplay) this.numPromptTokens += part.tokenIds.length;
    }
    this.step.reset();
    this.stepRankLoad.reset();
    const present = results.filter((result) => result !== null);
    this.makespan = this.makespan.map(
      (sum, moeLayer) => sum + highestOf(present.map((one) => one.rankLoad[moeLayer]!)),
    );
    for (const { outputs, load, rankLoad, phasesMs } of present) {
      this.numOutputTokens += outputs.filter(({ tokenId }) => tokenId !== null).length;
      for (const { degraded = [] } of outputs) this.numDegradedTokens += degraded.length;
      this.step.merge(load);
      this.stepRankLoad.merge(rankLoad);
      for (const phase of STEP_PHASES) this.phasesMs[phase] += phasesMs[phase] / present.length;
    }
    for (const [rank, sums] of this.rankPhasesMs.entries()) {
      for (const phase of STEP_PHASES) sums[phase] += results[rank]?.phasesMs[phase] ?? 0;
    }
    this.load.merge(this.stepLoad);
    this.window.push(this.stepLoad);
    this.rankLoad.merge(this.stepRankLoad.load_LE);
    const load_LR = this.stepRankLoad.load_LE.map((load_R) => this.ofThoseLeft(load_R));
    this.series.push(plans[0]?.step ?? this.numSteps, balanceSums(load_LR));
  }

  /** All ranks that were lost since the job began. */
  lose(ranks: readonly number[]): void {
    this.lostRanks = [...ranks].sort((a, b) => a - b);
    this.rankLoad.reset();
    this.makespan = this.makespan.map(() => 0);
  }

  /** Per rank that is left. */
  private ofThoseLeft(load_R: Float64Array): Float64Array {
    return load_R.filter((_, rank) => !this.lostRanks.includes(rank));
  }

  stats(): Omit<EngineStats, 'rebalancing'> {
    const rankLoad = this.rankLoad.snapshot();
    return {
      numRanks: this.reports.length,
      backend: each(this.reports.map(({ backend }) => backend)),
      compute: each(this.reports.map(({ residence }) => residence.compute)),
      resident: this.reports[0]!.residence,
      numSteps: this.numSteps,
      numPromptTokens: this.numPromptTokens,
      numOutputTokens: this.numOutputTokens,
      lostRanks: this.lostRanks,
      numDegradedTokens: this.numDegradedTokens,
      stepMs: this.stepMs,
      phasesMs: { ...this.phasesMs },
      rankPhasesMs: this.rankPhasesMs.map((sums) => ({ ...sums })),
      dispatchBytes: this.ranks.map((rank) => rank.dispatchBytes),
      combineBytes: this.ranks.map((rank) => rank.combineBytes),
      waitMs: this.ranks.map((_, source) => this.ranks.map((rank) => rank.waitMs[source]!)),
      expertLoad: this.load.snapshot(),
      windowLoad: this.window.load_LE.map((load_E) => load_E.slice()),
      rankLoad,
      makespan: this.makespan,
      balancedness: rankLoad.map((load_R) => balancedness(this.ofThoseLeft(load_R))),
      balanceOverTime: [...this.series.points],
      ranks: this.ranks,
      loadReports: this.reports,
    };
  }
}

/** The load of the busiest rank, of what each source sent to each. */
const highestOf = (load_SR: readonly (readonly number[])[]): number =>
  Math.max(...load_SR[0]!.map((_, rank) => load_SR.reduce((sum, load_R) => sum + load_R[rank]!, 0)));

const each = (names: readonly string[]): string => [...new Set(names)].join(' + ');

const noTime = (): Record<StepPhase, number> =>
  Object.fromEntries(STEP_PHASES.map((phase) => [phase, 0])) as Record<StepPhase, number>;

/** Of a rank that was lost before its first step ended. */
const nothingOf = (numRanks: number): RankStats => ({
  numTensors: 0,
  tensorBytes: 0,
  kernelBytes: 0,
  numKernelCalls: 0,
  numCopies: 0,
  copiedBytes: 0,
  numKernelRuns: 0,
  numKvBlocks: 0,
  peakRssBytes: 0,
  dispatchBytes: new Array<number>(numRanks).fill(0),
  combineBytes: new Array<number>(numRanks).fill(0),
  waitMs: new Array<number>(numRanks).fill(0),
});
