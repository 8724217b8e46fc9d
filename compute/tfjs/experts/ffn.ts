/**
 * Gated feed-forward networks as TensorFlow.js tensors: down(activation(gate(x), up(x))). One expert, the shared experts and dense layers are all of this form.
 * Shape suffixes: N rows, H hidden, I intermediate.
 */
import { SWIGLU, type ActivationSpec } from '../../base/activation_spec.js';
import { add, clampedSwiglu, columnsFrom, matMul, rowsOf, swiglu, tidy, toTensor, type Tensor2D } from '../tf.js';
import type { FfnBiasTensors, FfnTensors, FfnWeights } from '../../base/ffn_weights.js';
import { transposedFloats } from '../../base/weight_matrix.js';

/** The caller disposes them. */
export function ffnTensors({ gate, up, down, biases }: FfnWeights): FfnTensors {
  const { rows: intermediate, columns: hidden } = gate;
  const gates = transposedFloats(gate);
  const ups = transposedFloats(up);
  const gateUp = new Float32Array(gates.length + ups.length);
  for (let h = 0; h < hidden; h++) {
    gateUp.set(gates.subarray(h * intermediate, (h + 1) * intermediate), 2 * h * intermediate);
    gateUp.set(ups.subarray(h * intermediate, (h + 1) * intermediate), (2 * h + 1) * intermediate);
  }
  return {
    gateUp_H2I: toTensor(gateUp, [hidden, 2 * intermediate]),
    down_IH: toTensor(transposedFloats(down), [intermediate, hidden]),
    biases: biases === undefined ? null : biasTensors(biases, intermediate, hidden),
  };
}

function biasTensors(biases: Float32Array, intermediate: number, hidden: number): FfnBiasTensors {
  const ofGateUp = 2 * intermediate;
  return {
    gateUp_2I: toTensor(biases.subarray(0, ofGateUp), [1, ofGateUp]),
    down_H: toTensor(biases.subarray(ofGateUp), [1, hidden]),
  };
}

/** Frees them. */
export function disposeFfn({ gateUp_H2I, down_IH, biases }: FfnTensors): void {
  for (const tensor of [gateUp_H2I, down_IH, biases?.gateUp_2I, biases?.down_H]) tensor?.dispose();
}

/** [gate | up] rows [N,2I] → [N,I]. */
export function activate(x_N2I: Tensor2D, activation: ActivationSpec): Tensor2D {
  switch (activation.kind) {
    case 'swiglu':
      return swiglu(x_N2I);
    case 'clamped_swiglu':
      return clampedSwiglu(x_N2I, activation.limit, activation.alpha);
  }
}

/** A network that owns its tensors. */
export class Ffn {
  readonly tensors: FfnTensors;

  constructor(
    weights: FfnWeights,
    private readonly activation: ActivationSpec = SWIGLU,
  ) {
    this.tensors = ffnTensors(weights);
  }

  /** down(activation(gate(x), up(x))) of rows [N,H]: [N,H]. The caller disposes it. */
  forward(x_NH: Tensor2D): Tensor2D {
    return tidy(() => this.project(activate(this.expand(x_NH), this.activation)));
  }

  /** x·[gate|up] and their biases, [N,2I]. */
  expand(x_NH: Tensor2D): Tensor2D {
    const { gateUp_H2I, biases } = this.tensors;
    return plus(matMul(x_NH, gateUp_H2I), biases?.gateUp_2I);
  }

  /** h·down and its bias, [N,H]. */
  project(h_NI: Tensor2D): Tensor2D {
    const { down_IH, biases } = this.tensors;
    return plus(matMul(h_NI, down_IH), biases?.down_H);
  }

  /** Frees its tensors. */
  dispose(): void {
    disposeFfn(this.tensors);
  }
}

const plus = (x: Tensor2D, bias: Tensor2D | undefined): Tensor2D => (bias === undefined ? x : add(x, bias));

/** Columns `from` … `to` − 1 of a transposed matrix: rows of it as a checkpoint stores it, [to − from, rows of the tensor]. */
export async function readColumns(matrix: Tensor2D, from: number, to: number): Promise<Float32Array> {
  const [numRows] = matrix.shape;
  const columns = columnsFrom(matrix, from, to - from);
  try {
    const values = await rowsOf(columns);
    const out = new Float32Array(values.length);
    for (let row = 0; row < numRows; row++) {
      for (let c = 0; c < to - from; c++) out[c * numRows + row] = values[row * (to - from) + c]!;
    }
    return out;
  } finally {
    if (columns !== matrix) columns.dispose();
  }
}
