import { add, mul, rowMeans, rsqrt, square, tidy, toTensor, type Tensor2D } from '../../experts/tf.js';

/** Root-mean-square norm over the last axis: x · (mean(x²) + eps)^−½ · weight. */
export class RmsNorm {
  private readonly weight_1W: Tensor2D;
  private readonly eps_11: Tensor2D;

  constructor(weight: Float32Array, eps: number) {
    this.weight_1W = toTensor(weight, [1, weight.length]);
    this.eps_11 = toTensor(Float32Array.of(eps), [1, 1]);
  }

  forward(x_NW: Tensor2D): Tensor2D {
    return tidy(() => {
      const scale_N1 = rsqrt(add(rowMeans(square(x_NW)), this.eps_11));
      return mul(mul(x_NW, scale_N1), this.weight_1W);
    });
  }

  dispose(): void {
    this.weight_1W.dispose();
    this.eps_11.dispose();
  }
}
