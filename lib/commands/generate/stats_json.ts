/** The `stats` object of `generate --json`: all that an engine counts. What it counts anew is there under its own name in snake_case. */
import type { Engine, EngineStats } from '../../head/engine.js';
import type { LoadReport } from '../../protocol/step_plan.js';
import type { Timing } from './completion.js';
import { snakeJson, type Names } from './snake_json.js';

/** What programs read it by is shorter than the engine's own names. */
const NAMES: Names = {
  numRanks: 'ranks',
  numSteps: 'steps',
  numPromptTokens: 'prompt_tokens',
  numOutputTokens: 'output_tokens',
  numSharedTokens: 'shared_tokens',
  numPreempted: 'preempted',
  numDegradedTokens: 'degraded_tokens',
  numSkippedChoices: 'skipped_choices',
  dispatchBytes: 'bytes_dispatched',
  combineBytes: 'bytes_combined',
};
const REBALANCING: Names = {
  numRebalances: 'rebalances',
  numSkipped: 'skipped',
  numFailed: 'failed',
  numMovedExperts: 'moved_experts',
};
const SCALING: Names = { numScaled: 'scaled', numFailed: 'failed' };
const SPEEDS: Names = { experts: 'experts_pace', own: 'own_pace' };

/** Of the engine, and of the time that its caller took. */
export function statsJson(engine: Pick<Engine, 'stats'>, { elapsedMs, firstTokenMs }: Timing): object {
  const { rebalancing, scaling, speeds, ranks, loadReports, resident, ...counts } = engine.stats();
  return {
    ...(snakeJson(counts, NAMES) as object),
    resident: { experts: resident.experts, dense: resident.dense },
    ...byRank(loadReports, ranks),
    rank_speeds: snakeJson(speeds, SPEEDS),
    rank_stats: snakeJson(ranks),
    load_reports: snakeJson(loadReports.map(withoutDigests)),
    rebalancing: snakeJson(rebalancing, REBALANCING),
    scaling: snakeJson(scaling, SCALING),
    elapsed_ms: elapsedMs,
    tokens_per_s: counts.numOutputTokens / (elapsedMs / 1000),
    time_to_first_token_ms: firstTokenMs,
  };
}

/** One per expert, of 64 letters each: they say nothing of a run. */
const withoutDigests = (report: LoadReport): object => ({ ...report, expertDigests: undefined });

/** What is asked for most of it, a list each. */
const byRank = (reports: EngineStats['loadReports'], ranks: EngineStats['ranks']): object => ({
  rank_backends: reports.map(({ backend }) => backend),
  rank_computes: reports.map(({ residence }) => residence.compute),
  rank_kernels: reports.map(({ kernels }) => kernels && snakeJson({ activations: 'f32', ...kernels })),
  rank_devices: reports.map(({ device }) => device),
  bytes_read: reports.map(({ bytesRead }) => bytesRead),
  num_tensors: ranks.map(({ numTensors }) => numTensors),
  kernel_bytes: ranks.map(({ kernelBytes }) => kernelBytes),
  peak_rss_bytes: ranks.map(({ peakRssBytes }) => peakRssBytes),
});
