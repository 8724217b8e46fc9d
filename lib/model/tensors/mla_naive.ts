/**
 * The naive form of latent attention: each head's keys and values are expanded from the cache rows. Shape suffixes: S tokens of a segment,
 * C cache row, Q query channels (nope + rope), V value channels.
 */
import { keep, matMul, toTensor, type Tensor2D } from '../../../compute/tfjs/tf.js';
import type { MlaSpec } from '../spec/spec.js';

/** One head: keyᵀ [Q,S] = key·rowsᵀ and [values | 1] [S,V+1] = rows·value. */
export class NaiveHead {
  private readonly key_QC: Tensor2D;
  private readonly value_CV1: Tensor2D;

  /** `kvUp`: kv_b_proj as stored, [heads·(N + V), kvLoraRank]. The rotated key and the ones column pass through an identity, exactly. */
  constructor({ kvLoraRank, qkNopeHeadDim, qkRopeHeadDim, vHeadDim }: MlaSpec, kvUp: Float32Array, head: number) {
    const width = kvLoraRank + qkRopeHeadDim + 1;
    const firstRow = head * (qkNopeHeadDim + vHeadDim);
    const key = new Float32Array((qkNopeHeadDim + qkRopeHeadDim) * width);
    for (let n = 0; n < qkNopeHeadDim; n++) {
      key.set(kvUp.subarray((firstRow + n) * kvLoraRank, (firstRow + n + 1) * kvLoraRank), n * width);
    }
    for (let r = 0; r < qkRopeHeadDim; r++) key[(qkNopeHeadDim + r) * width + kvLoraRank + r] = 1;
    const value = new Float32Array(width * (vHeadDim + 1));
    for (let v = 0; v < vHeadDim; v++) {
      const row = (firstRow + qkNopeHeadDim + v) * kvLoraRank;
      for (let c = 0; c < kvLoraRank; c++) value[c * (vHeadDim + 1) + v] = kvUp[row + c]!;
    }
    value[value.length - 1] = 1;
    this.key_QC = keep(toTensor(key, [qkNopeHeadDim + qkRopeHeadDim, width]));
    this.value_CV1 = keep(toTensor(value, [width, vHeadDim + 1]));
  }

  /** Cache columns [C,S] → this head's keys, turned round: [Q,S]. */
  keys(rows_CS: Tensor2D): Tensor2D {
    return matMul(this.key_QC, rows_CS);
  }

  /** Cache rows [S,C] → this head's values, a column of ones last: [S,V+1]. */
  values(rows_SC: Tensor2D): Tensor2D {
    return matMul(rows_SC, this.value_CV1);
  }

  /** Frees both matrices. */
  dispose(): void {
    this.key_QC.dispose();
    this.value_CV1.dispose();
  }
}
