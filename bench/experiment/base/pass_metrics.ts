/** The metrics of a pass, as `lib/experiment/measures/generate.ts` has their formulae. Pure. */
import { createHash } from 'node:crypto';
import { balancednessOfSums, balanceSums } from '../../../experts/placement/balance.js';
import { STEP_PHASES, type StepPhase } from '../../../compute/base/stopwatch.js';
import type { Metrics } from '../../../lib/experiment/base/metric.js';
import type { EngineStats } from '../../../lib/head/engine.js';
import { percentile } from '../../serve/figures/distribution.js';
import type { Answer } from './pass.js';
import type { ObservedPass } from './pass_details.js';
import { difference, total } from './snapshot.js';

/** What one pass came to. */
export interface MeasuredPass extends ObservedPass {
  readonly answers: readonly Answer[];
  readonly elapsedMs: number;
  /** Of a MoE layer. */
  readonly numExperts: number;
}

/** All of them. */
export function measuredMetrics(pass: MeasuredPass, startMs: number): Metrics {
  const numTokens = tokensOf(pass);
  return {
    ...speedMetrics(pass, numTokens),
    start_ms: startMs,
    ...costMetrics(pass, numTokens.prompt + numTokens.output),
    ...balanceMetrics(pass, numTokens.prompt + numTokens.output),
    ...countMetrics(pass, numTokens),
    ...textMetrics(pass.answers),
  };
}

interface TokenCounts {
  readonly prompt: number;
  readonly output: number;
}

const tokensOf = ({ before, after }: MeasuredPass): TokenCounts => ({
  prompt: after.stats.numPromptTokens - before.stats.numPromptTokens,
  output: after.stats.numOutputTokens - before.stats.numOutputTokens,
});

function speedMetrics({ answers, elapsedMs, steps, before, after }: MeasuredPass, { output }: TokenCounts): Metrics {
  const firstMs = answers.map(({ tokenMs }) => tokenMs[0]!);
  const lastMs = answers.map(({ tokenMs }) => tokenMs.at(-1)!);
  const prefillMs = Math.max(...firstMs);
  const decodeMs = Math.max(...lastMs) - prefillMs;
  const promptTokens = answers.reduce((sum, { prompt }) => sum + prompt.tokenIds.length, 0);
  const perS = (count: number, ms: number): number | null => (ms > 0 ? (1000 * count) / ms : null);
  const tpotMs = answers.flatMap(({ tokenMs }, i) =>
    tokenMs.length < 2 ? [] : [(lastMs[i]! - firstMs[i]!) / (tokenMs.length - 1)],
  );
  return {
    tokens_per_s: perS(output, Math.max(...lastMs)),
    prefill_tokens_per_s: perS(promptTokens, prefillMs),
    decode_tokens_per_s: perS(output - answers.length, decodeMs),
    ...latencyMetrics('ttft', firstMs),
    ...latencyMetrics('tpot', tpotMs),
    ...latencyMetrics(
      'itl',
      answers.flatMap(({ tokenMs }) => tokenMs.slice(1).map((ms, i) => ms - tokenMs[i]!)),
    ),
    ...latencyMetrics('e2el', lastMs),
    elapsed_ms: elapsedMs,
    step_p50_ms: percentileOf(steps.stepMs, 50),
    step_p99_ms: percentileOf(steps.stepMs, 99),
    ...shareMetrics(before.stats, after.stats),
  };
}

function shareMetrics(before: EngineStats, after: EngineStats): Metrics {
  const spent = (phase: StepPhase): number => after.phasesMs[phase] - before.phasesMs[phase];
  const all = STEP_PHASES.reduce((sum, phase) => sum + spent(phase), 0);
  const share = (...phases: StepPhase[]): number | null =>
    all === 0 ? null : phases.reduce((sum, phase) => sum + spent(phase), 0) / all;
  return {
    attention_share: share('attention'),
    experts_share: share('experts'),
    exchange_share: share('dispatch', 'combine'),
  };
}

/** As `latency` of the measures names them. */
export function latencyMetrics(name: string, values: readonly number[]): Metrics {
  const mean = values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
  return {
    [`${name}_mean_ms`]: mean,
    [`${name}_p50_ms`]: percentileOf(values, 50),
    [`${name}_p99_ms`]: percentileOf(values, 99),
  };
}

const percentileOf = (values: readonly number[], percent: number): number | null =>
  values.length === 0
    ? null
    : percentile(
        [...values].sort((a, b) => a - b),
        percent,
      );

function costMetrics({ before, after }: MeasuredPass, numTokens: number): Metrics {
  const [dispatch, combine] = [
    total(difference(after.stats.dispatchBytes, before.stats.dispatchBytes)),
    total(difference(after.stats.combineBytes, before.stats.combineBytes)),
  ];
  const coreMs = after.coreMs === null || before.coreMs === null ? null : after.coreMs - before.coreMs;
  const { ranks } = after.stats;
  return {
    core_s: coreMs === null ? null : coreMs / 1000,
    core_ms_per_token: coreMs === null ? null : coreMs / numTokens,
    peak_rss_bytes: Math.max(...ranks.map(({ peakRssBytes }) => peakRssBytes)),
    resident_bytes: ranks.reduce((sum, { kernelBytes, tensorBytes }) => sum + kernelBytes + tensorBytes, 0),
    bytes_per_token: (dispatch + combine) / numTokens,
    dispatch_bytes: dispatch,
    combine_bytes: combine,
  };
}

function balanceMetrics({ steps, before, after }: MeasuredPass, numTokens: number): Metrics {
  const [was, is] = [before.stats.rebalancing, after.stats.rebalancing];
  const since = (count: 'numRebalances' | 'numMovedExperts' | 'movedBytes'): number | null =>
    is === null ? null : is[count] - (was?.[count] ?? 0);
  const load_LR = steps.rankLoad_LR.map((load_R) => load_R.slice(0, after.stats.numRanks));
  return {
    balancedness: balancednessOfSums(steps.sums),
    balancedness_total: balancednessOfSums(balanceSums(load_LR)),
    makespan_per_token: steps.makespan / numTokens,
    rebalances: since('numRebalances'),
    moved_experts: since('numMovedExperts'),
    moved_bytes: since('movedBytes'),
  };
}

const countMetrics = ({ answers, before, after }: MeasuredPass, { prompt, output }: TokenCounts): Metrics => ({
  num_prompts: answers.length,
  prompt_tokens: prompt,
  output_tokens: output,
  steps: after.stats.numSteps - before.stats.numSteps,
  preempted: after.stats.numPreempted - before.stats.numPreempted,
  skipped_choices: after.stats.numSkippedChoices - before.stats.numSkippedChoices,
  degraded_tokens: after.stats.numDegradedTokens - before.stats.numDegradedTokens,
  lost_ranks: after.stats.lostRanks.length,
});

/** Hashes of what was answered, and, where it was told, of what was routed. */
export function textMetrics(answers: readonly Pick<Answer, 'tokenIds' | 'routed'>[]): Metrics {
  const hashOf = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('hex');
  const isTold = answers.every(({ routed }) => routed !== null);
  return {
    tokens_sha256: hashOf(answers.map(({ tokenIds }) => tokenIds)),
    ...(isTold && { routing_sha256: hashOf(answers.map(({ routed }) => routed)) }),
  };
}
