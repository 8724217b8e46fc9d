import type { NormWeights } from '../../../compute/base/norm_weights.js';
import { add, centred, rmsNorm, tidy, toTensor, type Tensor2D } from '../../../compute/tfjs/tf.js';

/** A norm over the last axis: x · (mean(x²) + eps)^−½ · weight, and with a bias the same of x − mean(x), plus the bias. */
export class Norm {
  private readonly weight_1W: Tensor2D;
  private readonly bias_1W: Tensor2D | null;
  private readonly eps: number;

  constructor({ weight, bias, eps }: NormWeights) {
    this.weight_1W = toTensor(weight, [1, weight.length]);
    this.bias_1W = bias && toTensor(bias, [1, bias.length]);
    this.eps = eps;
  }

  /** Rows [N,W] → [N,W]. */
  forward(x_NW: Tensor2D): Tensor2D {
    const { weight_1W, bias_1W, eps } = this;
    if (bias_1W === null) return rmsNorm(x_NW, weight_1W, eps);
    return tidy(() => add(rmsNorm(centred(x_NW), weight_1W, eps), bias_1W));
  }

  /** Frees weight and bias. */
  dispose(): void {
    this.weight_1W.dispose();
    this.bias_1W?.dispose();
  }
}
