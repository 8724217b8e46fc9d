/** Sampling, slow and obvious: whole-vocabulary probabilities that each filter sets to zero and renormalises. */
import type { SamplingParams } from '../../lib/protocol/sampling.js';

/** The probability of every token of the vocabulary after `history`; ties favour the lower token. */
export function distributionRef(
  logits: ArrayLike<number>,
  params: SamplingParams,
  history: readonly number[],
): number[] {
  const { temperature, minP, topK, topP, repetitionPenalty } = params;
  // 1. Penalty, once per token that occurred, rounded to float32 as logits are.
  const scores = Array.from(logits, (logit, token) => {
    if (!history.includes(token)) return logit;
    return Math.fround(logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty);
  });
  const ranking = scores.map((_, token) => token).sort((a, b) => scores[b]! - scores[a]! || a - b);
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
