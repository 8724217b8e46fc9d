/** From one token's logits to the next token. Order: penalty → temperature → min_p → top_k → top_p, as vLLM's V1 sampler applies them. */
import { logitRowsOf, type LogitRow } from '../model/decoder/logits.js';
import { EngineError } from '../protocol/errors.js';
import type { SamplingParams } from '../protocol/sampling.js';
import { uniform } from '../../base/philox.js';

/**
 * The token after `history` (prompt and output so far), whose length is the position that the random number belongs to.
 * Ties go to the lower token. @throws EngineError NOT_FINITE
 */
export function sampleToken(logits: LogitRow, params: SamplingParams, history: readonly number[]): number {
  checkFinite(logits);
  const scores = penalised(logits, params.repetitionPenalty, history);
  if (params.temperature === 0) return scores.best(1)[0]!;
  const order = candidates(scores, params);
  const highest = scores.at(order[0]!);
  // The difference before the quotient: a tiny temperature may make −Infinity of it, never ∞ − ∞.
  const probabilities = softmax(order.map((token) => (scores.at(token) - highest) / params.temperature));
  const kept = nucleusSize(probabilities, params.topP);
  return order[draw(probabilities.slice(0, kept), uniform(params.seed, params.choice, history.length))]!;
}

/** A NaN would pick a token quietly, and it is what a backend that ran out of memory computes. */
function checkFinite(logits: LogitRow): void {
  const wrong = logits.firstNonFinite();
  if (wrong < 0) return;
  throw new EngineError(
    'NOT_FINITE',
    `the logit of token ${wrong} is ${logits.at(wrong)}; check the checkpoint for NaN, or use more ranks if memory is short`,
  );
}

function penalised(logits: LogitRow, penalty: number, history: readonly number[]): LogitRow {
  if (penalty === 1) return logits;
  const scores = logits.values();
  for (const token of new Set(history)) {
    const logit = scores[token]!;
    scores[token] = logit > 0 ? logit / penalty : logit * penalty;
  }
  return logitRowsOf(scores, scores.length)[0]!;
}

/** Tokens that top_k and min_p keep, most likely first. */
function candidates(scores: LogitRow, { temperature, minP, topK }: SamplingParams): number[] {
  const { vocabSize } = scores;
  const order = scores.best(topK === 0 ? vocabSize : Math.min(topK, vocabSize));
  if (minP === 0) return order;
  const lowest = scores.at(order[0]!) + Math.log(minP) * temperature;
  return order.filter((token) => scores.at(token) >= lowest);
}

function softmax(scores: readonly number[]): number[] {
  const weights = scores.map((score) => Math.exp(score - scores[0]!));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

/** How many of the most likely tokens reach `topP`; at least one. */
function nucleusSize(probabilities: readonly number[], topP: number): number {
  if (topP === 1) return probabilities.length;
  let sum = 0;
  for (let i = 0; i < probabilities.length; i++) {
    sum += probabilities[i]!;
    if (sum >= topP) return i + 1;
  }
  return probabilities.length;
}

function draw(weights: readonly number[], u: number): number {
  const target = u * weights.reduce((a, b) => a + b, 0);
  let sum = 0;
  for (let i = 0; i < weights.length; i++) {
    sum += weights[i]!;
    if (target < sum) return i;
  }
  return weights.length - 1;
}

/** log softmax(logits)[token], in nats. */
export function logProbability(logits: Float32Array, token: number): number {
  let highest = -Infinity;
  for (const logit of logits) if (logit > highest) highest = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - highest);
  return logits[token]! - highest - Math.log(sum);
}
