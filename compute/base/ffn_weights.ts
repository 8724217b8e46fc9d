/** The weights of a gated feed-forward network. Shape suffixes: H hidden, I intermediate. */
import type { Tensor2D } from './tensor.js';
import type { WeightMatrix } from './weight_matrix.js';

/** As a checkpoint stores them. */
export interface FfnWeights {
  /** [I,H] */
  readonly gate: WeightMatrix;
  /** [I,H] */
  readonly up: WeightMatrix;
  /** [H,I] */
  readonly down: WeightMatrix;
  /** [2I+H] added to what the matrices give: gate's, then up's, then down's. Default: none. */
  readonly biases?: Float32Array | undefined;
}

/** Transposed for plain x·W products: only those are fast, and row-independent, on the wasm backend. */
export interface FfnTensors {
  /** Of [H,2I] row h holds the gate's I weights, then up's. */
  readonly gateUp_H2I: Tensor2D;
  /** [I,H] */
  readonly down_IH: Tensor2D;
  /** Null: there are none. */
  readonly biases: FfnBiasTensors | null;
}

/** Single rows. */
export interface FfnBiasTensors {
  /** [1,2I] */
  readonly gateUp_2I: Tensor2D;
  /** [1,H] */
  readonly down_H: Tensor2D;
}
