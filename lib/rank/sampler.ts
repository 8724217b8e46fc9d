/**
 * From one token's logits to the next token, in the order of vLLM's V1 sampler (vllm/v1/sample/sampler.py): what a request allows, forbids, biases and
 * penalises → temperature → min_p → top_k → top_p.
 */
import type { LogitRow } from '../model/decoder/logits.js';
import type { SamplingParams } from '../protocol/sampling.js';
import { uniform } from '../../base/philox.js';
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
  const order = candidates(scores, sampling);
  const highest = scores.at(order[0]!);
  // The difference before the quotient: a tiny temperature may make −Infinity of it, never ∞ − ∞.
  const probabilities = softmax(order.map((token) => (scores.at(token) - highest) / sampling.temperature));
  const kept = nucleusSize(probabilities, sampling.topP);
  const u = uniform(sampling.seed, sampling.choice, tokenIds.length);
  return order[draw(probabilities.slice(0, kept), u)]!;
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
  return weights.findLastIndex((weight) => weight > 0); // rounded up to the end
}
