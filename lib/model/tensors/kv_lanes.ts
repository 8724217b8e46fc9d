/**
 * Lanes of the tensors' cache, and the rows of cache_layout.ts that they are outside of it.
 * Shape suffixes: S tokens of a block, B heads side by side in a lane, L lanes, W channels of a head.
 */
import { columnsFrom, joinColumns, reshape, swapRows, toTensor, type Tensor2D } from '../../../compute/tfjs/tf.js';

/** What a layer holds of a token. */
export interface KvLanes {
  /** Heads side by side in each lane. */
  readonly numHeads: number;
  /** Channels of each. */
  readonly width: number;
  /** By lane: whether a one stands behind each head. */
  readonly hasOnes: readonly boolean[];
}

/** Columns of a lane. */
export const laneWidth = ({ numHeads, width, hasOnes }: KvLanes, lane: number): number =>
  numHeads * (width + Number(hasOnes[lane]));

/** Floats of a token in one layer, without the ones. */
export const tokenFloats = ({ numHeads, width, hasOnes }: KvLanes): number => numHeads * width * hasOnes.length;

/** A layer's lanes [S, B·W] or, with ones, [S, B·(W + 1)] → rows [B·L·S, W] of one head after another, without the ones; inside a tidy. */
export function portableRows(lanes: readonly Tensor2D[], shape: KvLanes): Tensor2D {
  return swapRows(tokenRows(lanes, shape), lanes[0]!.shape[0], shape.numHeads * lanes.length);
}

/** The other way; inside a tidy. */
export function laneRows(portable: Tensor2D, lanes: KvLanes): Tensor2D[] {
  const numRows = lanes.numHeads * lanes.hasOnes.length; // of a token
  return lanesOfTokens(swapRows(portable, numRows, portable.shape[0] / numRows), lanes);
}

/** A layer's lanes, as in {@link portableRows} → rows [S·B, L·W] of one token after another; inside a tidy. */
export function tokenRows(lanes: readonly Tensor2D[], { numHeads, width }: KvLanes): Tensor2D {
  const numTokens = lanes[0]!.shape[0];
  const channels = lanes.map((rows) =>
    columnsFrom(reshape(rows, [numTokens * numHeads, rows.shape[1] / numHeads]), 0, width),
  );
  return joinColumns(channels);
}

/** The other way, from rows in any shape; inside a tidy. */
export function lanesOfTokens(rows: Tensor2D, lanes: KvLanes): Tensor2D[] {
  const { numHeads, width, hasOnes } = lanes;
  const numTokens = rows.size / tokenFloats(lanes);
  const numRows = numTokens * numHeads;
  const byToken = reshape(rows, [numRows, hasOnes.length * width]);
  const ones = toTensor(new Float32Array(numRows).fill(1), [numRows, 1]);
  return hasOnes.map((hasOne, lane) => {
    const channels = columnsFrom(byToken, lane * width, width);
    return reshape(hasOne ? joinColumns([channels, ones]) : channels, [numTokens, laneWidth(lanes, lane)]);
  });
}
