/** Sampling, slow and obvious: whole-vocabulary probabilities that each filter sets to zero and renormalises. */
import type { SamplingParams } from '../../lib/protocol/sampling.js';

/** What came before a token, and which tokens may not come too early. */
export interface HistoryRef {
  readonly prompt: readonly number[];
  readonly output: readonly number[];
  readonly ends: readonly number[];
}

/** Logits as a request changes them, float32 after each step. */
export function adjustedRef(
  logits: ArrayLike<number>,
  params: SamplingParams,
  { prompt, output, ends }: HistoryRef,
): number[] {
  const { allowedTokenIds, minTokens, logitBias, repetitionPenalty } = params;
  return Array.from(logits, (logit, token) => {
    const isAllowed = allowedTokenIds === null || allowedTokenIds.includes(token);
    const isEarlyEnd = output.length < minTokens && ends.includes(token);
    if (!isAllowed || isEarlyEnd) return -Infinity;
    let score = logit;
    for (const [biased, bias] of logitBias) if (biased === token) score = Math.fround(score + bias);
    if (prompt.includes(token) || output.includes(token)) {
      score = Math.fround(score > 0 ? score / repetitionPenalty : score * repetitionPenalty);
    }
    const count = output.filter((other) => other === token).length;
    score = Math.fround(score - params.frequencyPenalty * count);
    return count > 0 ? Math.fround(score - params.presencePenalty) : score;
  });
}

/** The probability of every token of the vocabulary after `history`; ties favour the lower token. */
export function distributionRef(logits: ArrayLike<number>, params: SamplingParams, history: HistoryRef): number[] {
  const { temperature, minP, topK, topP } = params;
  // 1. What is allowed, biased and penalised.
  const scores = adjustedRef(logits, params, history);
  const ranking = scores
    .map((_, token) => token)
    .sort((a, b) => (scores[b] === scores[a] ? a - b : scores[b]! - scores[a]!));
  if (temperature === 0) return scores.map((_, token) => (token === ranking[0] ? 1 : 0));
  // 2. Temperature.
  const highest = scores[ranking[0]!]!;
  let p = normalised(scores.map((score) => Math.exp((score - highest) / temperature)));
  // 3. min_p.
  const least = minP * Math.max(...p);
  p = normalised(p.map((value) => (value >= least ? value : 0)));
  // 4. top_k.
  if (topK > 0) p = normalised(p.map((value, token) => (ranking.indexOf(token) < topK ? value : 0)));
  // 5. top_p: a token stays while those before it have not reached the sum.
  const sumBefore = (token: number): number =>
    ranking.slice(0, ranking.indexOf(token)).reduce((sum, other) => sum + p[other]!, 0);
  if (topP < 1) p = normalised(p.map((value, token) => (sumBefore(token) < topP ? value : 0)));
  return p;
}

/** The token whose stretch of [0, 1), most likely first, holds u. */
export function drawRef(probabilities: readonly number[], u: number): number {
  const ranking = probabilities.map((_, token) => token).sort((a, b) => probabilities[b]! - probabilities[a]! || a - b);
  let end = 0;
  return ranking.find((token) => u < (end += probabilities[token]!)) ?? ranking[0]!;
}

function normalised(weights: readonly number[]): number[] {
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}
