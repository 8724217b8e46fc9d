import { rmsNorm, toTensor, type Tensor2D } from '../../../compute/tfjs/tf.js';

/** Root-mean-square norm over the last axis: x · (mean(x²) + eps)^−½ · weight. */
export class RmsNorm {
  private readonly weight_1W: Tensor2D;

  constructor(
    weight: Float32Array,
    private readonly eps: number,
  ) {
    this.weight_1W = toTensor(weight, [1, weight.length]);
  }

  /** Rows [N,W] → [N,W]. */
  forward(x_NW: Tensor2D): Tensor2D {
    return rmsNorm(x_NW, this.weight_1W, this.eps);
  }

  /** Frees the weight. */
  dispose(): void {
    this.weight_1W.dispose();
  }
}
