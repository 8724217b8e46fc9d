/**
 * From one token's logits to the next token, in the order of vLLM's V1 sampler (vllm/v1/sample/sampler.py): what a request allows, forbids, biases and
 * penalises → temperature → min_p → top_k → top_p.
 */
import { FEW_LOGITS, type LogitRow } from '../../model/decoder/logits.js';
import type { SamplingParams } from '../../protocol/sampling.js';
import { uniform } from '../../../base/philox.js';
import { adjustedLogits, type SampledSequence } from './adjusted_logits.js';
import { checkFinite } from './finite_logits.js';

/**
 * The token after a sequence's tokens, whose number is the position that the random number belongs to. Ties go to the lower token.
 * @throws EngineError NOT_FINITE
 */
export function sampleToken(logits: LogitRow, sequence: SampledSequence): number {
  checkFinite(logits);
  const { sampling, tokenIds } = sequence;
  const scores = adjustedLogits(logits, sequence);
  if (sampling.temperature === 0) return scores.best(1)[0]!;
  const u = uniform(sampling.seed, sampling.choice, tokenIds.length);
  const numKept = sampling.topK === 0 ? scores.vocabSize : Math.min(sampling.topK, scores.vocabSize);
  // Nearly always a few of the most likely tokens decide, and the others need no order.
  const early = sampling.topK === 0 && numKept > FEW_LOGITS ? drawEarly(scores, sampling, u) : null;
  return early ?? drawFrom(scores, scores.best(numKept), sampling, u);
}

/** The token that u draws if it is one of the most likely; null: it may be another. */
function drawEarly(scores: LogitRow, sampling: SamplingParams, u: number): number | null {
  const order = scores.best(FEW_LOGITS);
  const weightOf = weighing(scores.at(order[0]!), sampling);
  let total = 0;
  for (const score of scores.values()) total += weightOf(score);
  const weights = order.map((token) => weightOf(scores.at(token)));
  const numKept = sampling.topP === 1 ? 0 : numReaching(weights, sampling.topP * total);
  if (numKept > 0) return order[draw(weights.slice(0, numKept), u)]!;
  const numPassed = sampling.topP === 1 ? numReaching(weights, u * total) : 0;
  return numPassed === 0 ? null : order[numPassed - 1]!;
}

/** One of `order`: tokens that top_k keeps, most likely first. */
function drawFrom(scores: LogitRow, order: readonly number[], sampling: SamplingParams, u: number): number {
  const weightOf = weighing(scores.at(order[0]!), sampling);
  const weights = order.map((token) => weightOf(scores.at(token)));
  const numKept = sampling.topP === 1 ? 0 : numReaching(weights, sampling.topP * sumOf(weights));
  return order[draw(numKept === 0 ? weights : weights.slice(0, numKept), u)]!;
}

/** From a score to its probability over that of the best token; 0 below min_p. */
function weighing(highest: number, { temperature, minP }: SamplingParams): (score: number) => number {
  const lowest = minP === 0 ? -Infinity : highest + Math.log(minP) * temperature;
  // The difference before the quotient: a tiny temperature may make −Infinity of it, never ∞ − ∞.
  return (score) => (score < lowest ? 0 : Math.exp((score - highest) / temperature));
}

/** The place of u in weights that lie side by side. */
function draw(weights: readonly number[], u: number): number {
  const target = u * sumOf(weights);
  let sum = 0;
  const place = weights.findIndex((weight) => target < (sum += weight));
  return place < 0 ? weights.findLastIndex((weight) => weight > 0) : place; // rounded up to the end
}

/** How many of the weights reach a sum; 0: all of them don't. */
function numReaching(weights: readonly number[], target: number): number {
  let sum = 0;
  return weights.findIndex((weight) => (sum += weight) >= target) + 1;
}

const sumOf = (weights: readonly number[]): number => weights.reduce((a, b) => a + b, 0);
