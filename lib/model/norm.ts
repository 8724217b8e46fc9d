import { add, mean, mul, rsqrt, square, tidy, toTensor, type Tensor, type Tensor2D } from '../../experts/tf.js';

/** Root-mean-square norm over the last axis: x · (mean(x²) + eps)^−½ · weight. */
export class RmsNorm {
  private readonly weight_1W: Tensor2D;
  private readonly eps: number;

  constructor(weight: Float32Array, eps: number) {
    this.weight_1W = toTensor(weight, [1, weight.length]);
    this.eps = eps;
  }

  forward(x_NW: Tensor2D): Tensor2D {
    return tidy(() => {
      const scale_N1: Tensor = rsqrt(add(mean(square(x_NW), 1, true), this.eps));
      return mul(mul(x_NW, scale_N1), this.weight_1W);
    });
  }

  dispose(): void {
    this.weight_1W.dispose();
  }
}
