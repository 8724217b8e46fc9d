/** A norm over the last axis, whatever computes it: LayerNorm (Ba et al. 2016) where there is a bias, otherwise the root-mean-square norm (Zhang and Sennrich 2019). */
export interface NormWeights {
  /** [W] */
  readonly weight: Float32Array;
  /** [W] */
  readonly bias: Float32Array | null;
  /** Added to the mean of squares. */
  readonly eps: number;
}
