/** One pass over texts that are scored, and what it came to. Shape suffixes: L MoE layers, R ranks. */
import { balancednessOfSums } from '../../../experts/placement/balance.js';
import type { Metrics } from '../../../lib/experiment/base/metric.js';
import type { ScoredText } from '../../../lib/experiment/measures/texts.js';
import type { Engine } from '../../../lib/head/engine.js';
import { moeLayersOf } from '../../../lib/model/spec/spec.js';
import type { ObservedPass } from './pass_details.js';
import { difference, snapshotOf, total } from './snapshot.js';
import { perplexityOf, scoreTextMetrics, scoreTexts, type TextScore } from './text_scores.js';
import { WatchedSteps } from './watched_steps.js';

/** What the engine thought of all texts, and what that took. */
export interface ScorePass extends ObservedPass {
  readonly scores: readonly TextScore[];
  readonly elapsedMs: number;
}

/** Scores all pieces at once. Errors as those of `Engine.score`. */
export async function scorePass(engine: Engine, texts: readonly ScoredText[], signal: AbortSignal): Promise<ScorePass> {
  const steps = new WatchedSteps(moeLayersOf(engine.spec).length, engine.numSeats);
  const unwatch = engine.watch(steps);
  try {
    const before = await snapshotOf(engine);
    const startMs = performance.now();
    const scores = await scoreTexts(engine, texts, signal);
    const elapsedMs = performance.now() - startMs;
    return { scores, elapsedMs, steps, before, after: await snapshotOf(engine) };
  } finally {
    unwatch();
  }
}

/** All that `lib/experiment/measures/score.ts` declares but the start and the comparison. */
export function scorePassMetrics({ scores, elapsedMs, steps, before, after }: ScorePass): Metrics {
  const results = scores.flatMap((score) => score.results);
  const numTokens = scores.flatMap(({ text }) => text.pieces).reduce((sum, { length }) => sum + length, 0);
  const load_LE = difference(after.stats.expertLoad, before.stats.expertLoad);
  const bytes = (['dispatchBytes', 'combineBytes'] as const).reduce(
    (sum, what) => sum + total(difference(after.stats[what], before.stats[what])),
    0,
  );
  const coreMs = after.coreMs === null || before.coreMs === null ? null : after.coreMs - before.coreMs;
  return {
    perplexity: perplexityOf(results),
    experts_per_token: total(load_LE) / (numTokens * load_LE.length),
    num_tokens: numTokens,
    scored_tokens: results.reduce((sum, { logprobs }) => sum + logprobs.length, 0),
    tokens_per_s: (1000 * numTokens) / elapsedMs,
    elapsed_ms: elapsedMs,
    core_ms_per_token: coreMs === null ? null : coreMs / numTokens,
    bytes_per_token: bytes / numTokens,
    resident_bytes: after.stats.ranks.reduce((sum, rank) => sum + rank.kernelBytes + rank.tensorBytes, 0),
    balancedness: balancednessOfSums(steps.sums),
    steps: after.stats.numSteps - before.stats.numSteps,
    skipped_choices: after.stats.numSkippedChoices - before.stats.numSkippedChoices,
    degraded_tokens: after.stats.numDegradedTokens - before.stats.numDegradedTokens,
    ...scoreTextMetrics(results),
  };
}
