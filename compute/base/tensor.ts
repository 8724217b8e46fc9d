/**
 * A tensor of TensorFlow.js as far as this package uses it: its own types would have to compile in every project that uses expertwire, and they don't.
 * Why: docs/decisions/build.md#types-without-tensorflowjs
 */
export interface Tensor {
  readonly shape: readonly number[];
  /** Number of its values. */
  readonly size: number;
  /** Its values, row-major. */
  data(): Promise<ArrayLike<number>>;
  /** Gives its memory back; it may not be used afterwards. */
  dispose(): void;
}

/** A matrix [rows, columns]. */
export interface Tensor2D extends Tensor {
  readonly shape: readonly [number, number];
}
