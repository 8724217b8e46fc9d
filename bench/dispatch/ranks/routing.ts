/** Seeded routing: which experts each token chooses, uniformly or by a Zipf law. T tokens, K choices, E experts. */
import { uniform } from '../../../base/philox.js';

/** How many tokens choose how many of how many experts, and by which law. */
export interface RoutingShape {
  readonly tokens: number;
  readonly topk: number;
  readonly experts: number;
  /** Exponent of the Zipf law: 0 is uniform. */
  readonly alpha: number;
  readonly seed: number;
}

/** The choices of one rank's tokens. */
export interface Routing {
  /** [T·K] distinct experts per token. */
  readonly topkIdx: Int32Array;
  /** [T·K] positive, each token's sum to 1. */
  readonly topkWeights: Float32Array;
}

/** Streams of the generator that no rank uses. */
const PERMUTATION_STREAM = 0xffffffff;
const WEIGHT_STREAMS_FROM = 0x10000;

/**
 * The routing of one rank's tokens. K experts are drawn one after another without replacement, the expert of popularity rank r with
 * probability ∝ (r + 1)^−α; which expert has which popularity is a random permutation that all ranks share.
 */
export function routingOf(shape: RoutingShape, rank: number): Routing {
  const { tokens, topk, seed } = shape;
  const order = permutation(shape.experts, seed);
  const cumulative = cumulativeOf(shape);
  const topkIdx = new Int32Array(tokens * topk);
  let numDraws = 0;
  for (let token = 0; token < tokens; token++) {
    const from = token * topk;
    for (let k = 0; k < topk;) {
      const expert = order[indexOf(cumulative, uniform(seed, rank, numDraws++))]!;
      // A drawn expert is out of the game: drawing again is drawing among the others.
      if (topkIdx.subarray(from, from + k).includes(expert)) continue;
      topkIdx[from + k++] = expert;
    }
  }
  return { topkIdx, topkWeights: weightsOf(shape, rank) };
}

function weightsOf({ tokens, topk, seed }: RoutingShape, rank: number): Float32Array {
  const weights = Float32Array.from(
    { length: tokens * topk },
    (_, i) => 0.5 + uniform(seed, WEIGHT_STREAMS_FROM + rank, i),
  );
  for (let from = 0; from < weights.length; from += topk) {
    const own = weights.subarray(from, from + topk);
    const sum = own.reduce((total, weight) => total + weight, 0);
    for (let k = 0; k < topk; k++) own[k]! /= sum;
  }
  return weights;
}

/** Fisher and Yates. */
function permutation(length: number, seed: number): Int32Array {
  const order = Int32Array.from({ length }, (_, i) => i);
  for (let i = length - 1; i > 0; i--) {
    const j = Math.floor(uniform(seed, PERMUTATION_STREAM, i) * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/** [E] sums of the first probabilities; the last is 1. */
function cumulativeOf({ experts, alpha }: RoutingShape): Float64Array {
  const sums = new Float64Array(experts);
  let sum = 0;
  for (let i = 0; i < experts; i++) sums[i] = sum += (i + 1) ** -alpha;
  return sums.map((value) => value / sum);
}

/** The first index whose sum exceeds `u`. */
function indexOf(cumulative: Float64Array, u: number): number {
  let low = 0;
  let high = cumulative.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (cumulative[middle]! > u) high = middle;
    else low = middle + 1;
  }
  return low;
}
