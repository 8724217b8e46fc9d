/**
 * What all attention forms share: the step's sequences, and softmax(q·Kᵀ)·V in two parts.
 * Shape suffixes: T tokens of the step, L tokens of one sequence so far, R query rows of one sequence, D channels.
 * Why: docs/decisions/exactness.md#the-bitwise-tier
 */
import {
  add,
  addToBlocks,
  columnsFrom,
  div,
  expOfRows,
  joinColumns,
  keep,
  tidy,
  toTensor,
  type Tensor2D,
} from '../../../compute/tfjs/tf.js';
import type { SequencePart } from '../decoder/decoder.js';
import type { KeyValues } from './key_values.js';
import type { KvLanes } from './kv_lanes.js';
import type { TensorKvCache } from './tensor_kv_cache.js';
import type { RopeAngles } from './rope.js';

/** What every layer of one step needs; made once per step. */
export interface StepInputs {
  /** Generated tokens before prompt tokens, in ascending rowStart. */
  readonly parts: readonly SequencePart[];
  readonly numTokens: number;
  /** Angles for T × query heads rows, and for T × key heads rows. */
  readonly qAngles: RopeAngles;
  readonly kAngles: RopeAngles;
  /** A column of ones for T × key heads rows: summed up by attention, they make the softmax's denominator. */
  readonly ones: Tensor2D;
  readonly masks: CausalMasks;
}

/** A layer's attention, without the norm before it. It owns its weights. */
export interface Attention {
  /** What a token takes in the cache. */
  readonly lanes: KvLanes;
  /** Appends the step's tokens to the cache and attends: [T,H] → [T,H]; inside a tidy. */
  forward(x_TH: Tensor2D, layer: number, step: StepInputs, cache: TensorKvCache): Tensor2D;
  /** Frees the weights. */
  dispose(): void;
}

/** Added to the score of a key that a query may not see: exp() of it is exactly 0. */
const MASKED = -1e30;

/** The masks of one step, made when first asked for and shared by its layers. */
export class CausalMasks {
  private readonly masks = new Map<string, Tensor2D>();

  /**
   * [numTokens·repeats, position + numTokens]: each query token `repeats` times; null where a query sees all keys. `window`: keys that a token sees at most, itself
   * included; null: all.
   */
  get({ numTokens, position }: SequencePart, repeats: number, window: number | null): Tensor2D | null {
    const length = position + numTokens;
    const isNarrow = window !== null && window < length;
    if (numTokens === 1 && !isNarrow) return null;
    const key = `${numTokens}/${position}/${repeats}/${isNarrow ? window : 'all'}`;
    let mask = this.masks.get(key);
    if (mask === undefined) {
      mask = causalMask(numTokens, position, repeats, isNarrow ? window : length);
      this.masks.set(key, mask);
    }
    return mask;
  }

  /** Frees the masks of the step. */
  dispose(): void {
    for (const mask of this.masks.values()) mask.dispose();
    this.masks.clear();
  }
}

function causalMask(numTokens: number, position: number, repeats: number, window: number): Tensor2D {
  const length = position + numTokens;
  const mask = new Float32Array(numTokens * repeats * length);
  for (let row = 0; row < numTokens * repeats; row++) {
    const query = position + Math.floor(row / repeats);
    mask.fill(MASKED, row * length, row * length + Math.max(0, query + 1 - window));
    mask.fill(MASKED, row * length + query + 1, (row + 1) * length);
  }
  return keep(toTensor(mask, [numTokens * repeats, length])); // made inside a tidy of the first layer, used by all
}

/**
 * exp(q·Kᵀ + mask − row maximum)·[V|1] for heads of equally many rows, stacked: [heads·R, valueDim + 1]. What {@link normalise} makes of it is
 * softmax(q·Kᵀ + mask)·V. The ones column of V makes the same matmul sum the softmax's denominator, in ascending key order like the values, and segments are
 * added in that order too, so that a row's bits don't depend on how many masked keys surround its own. `q`: softmax scale applied. `sinks` [heads·R, 1]: one more
 * score for each row, which takes part in the denominator only.
 */
export function attend(
  q: Tensor2D,
  keyValues: KeyValues,
  mask_RL: Tensor2D | null,
  sinks: Tensor2D | null = null,
): Tensor2D {
  return tidy(() => {
    const products = keyValues.scores(q);
    const scores = mask_RL === null ? products : addToBlocks(products, mask_RL);
    return sinks === null ? keyValues.weigh(expOfRows(scores)) : attendWithSinks(keyValues, scores, sinks);
  });
}

function attendWithSinks(keyValues: KeyValues, scores: Tensor2D, sinks: Tensor2D): Tensor2D {
  const powers = expOfRows(joinColumns([scores, sinks]));
  const numKeys = scores.shape[1];
  const sums = keyValues.weigh(columnsFrom(powers, 0, numKeys));
  const valueDim = sums.shape[1] - 1;
  const denominators = add(columnsFrom(sums, valueDim, 1), columnsFrom(powers, numKeys, 1));
  return joinColumns([columnsFrom(sums, 0, valueDim), denominators]);
}

/** Weighted sums and their denominators, [N,·] with the denominator last → the first `valueDim` columns, normalised. */
export const normalise = (sums: Tensor2D, valueDim: number): Tensor2D =>
  div(columnsFrom(sums, 0, valueDim), columnsFrom(sums, sums.shape[1] - 1, 1));
