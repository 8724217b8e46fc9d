/** Counters of a whole job, for summaries, `--json` and benchmarks. */
import type { LoadMonitor } from '../../experts/load_monitor.js';
import type { Placement } from '../../experts/placement.js';
import { STEP_PHASES, type StepPhase } from '../../experts/stopwatch.js';
import { balancedness, rankLoads } from '../metrics/balance.js';
import type { LoadReport, RankStats, StepPlan, StepResult } from './step_plan.js';

export interface EngineStats {
  readonly numRanks: number;
  readonly backend: string;
  readonly numSteps: number;
  readonly numPromptTokens: number;
  readonly numOutputTokens: number;
  /** Time spent in steps. */
  readonly stepMs: number;
  /** Per phase, summed over steps, mean over ranks. */
  readonly phasesMs: Readonly<Record<StepPhase, number>>;
  /** Bytes on the wire, [source][destination]; what stays on a rank is 0. */
  readonly dispatchBytes: readonly (readonly number[])[];
  readonly combineBytes: readonly (readonly number[])[];
  /** Tokens per MoE layer and logical expert, [L][E]. */
  readonly expertLoad: readonly Float64Array[];
  /** Mean rank load / max rank load, per MoE layer: 1 = perfect. */
  readonly balancedness: readonly number[];
  readonly ranks: readonly RankStats[];
  readonly loadReports: readonly LoadReport[];
}

export class StatsCollector {
  private readonly reports: readonly LoadReport[];
  private readonly load: LoadMonitor;
  private readonly placement: Placement;
  private readonly phasesMs = Object.fromEntries(STEP_PHASES.map((phase) => [phase, 0])) as Record<StepPhase, number>;
  private ranks: readonly RankStats[] = [];
  private numSteps = 0;
  private numPromptTokens = 0;
  private numOutputTokens = 0;
  private stepMs = 0;

  constructor(reports: readonly LoadReport[], load: LoadMonitor, placement: Placement) {
    this.reports = reports;
    this.load = load;
    this.placement = placement;
  }

  /** Counts one committed step. */
  add(plans: readonly StepPlan[], results: readonly StepResult[], stepMs: number): void {
    this.numSteps++;
    this.stepMs += stepMs;
    this.ranks = results.map(({ stats }) => stats);
    for (const { parts } of plans) {
      for (const part of parts) if (part.isPrompt) this.numPromptTokens += part.tokenIds.length;
    }
    for (const { outputs, load, phasesMs } of results) {
      this.numOutputTokens += outputs.filter(({ tokenId }) => tokenId !== null).length;
      this.load.merge(load);
      for (const phase of STEP_PHASES) this.phasesMs[phase] += phasesMs[phase] / results.length;
    }
  }

  stats(): EngineStats {
    const expertLoad = this.load.snapshot();
    return {
      numRanks: this.reports.length,
      backend: this.reports[0]!.backend,
      numSteps: this.numSteps,
      numPromptTokens: this.numPromptTokens,
      numOutputTokens: this.numOutputTokens,
      stepMs: this.stepMs,
      phasesMs: { ...this.phasesMs },
      dispatchBytes: this.ranks.map((rank) => rank.dispatchBytes),
      combineBytes: this.ranks.map((rank) => rank.combineBytes),
      expertLoad,
      balancedness: expertLoad.map((load_E, moeLayer) => balancedness(rankLoads(load_E, this.placement, moeLayer))),
      ranks: this.ranks,
      loadReports: this.reports,
    };
  }
}
