/**
 * SwiGLU feed-forward networks as TensorFlow.js tensors: down(silu(gate(x)) · up(x)). One expert, the shared experts and dense layers are all of this form.
 * Shape suffixes: N rows, H hidden, I intermediate.
 */
import { columnsFrom, matMul, rowsOf, swiglu, tidy, toTensor, type Tensor2D } from '../tf.js';
import type { FfnTensors, FfnWeights } from '../../base/ffn_weights.js';
import { transposedFloats } from '../../base/weight_matrix.js';

/** The caller disposes them. */
export function ffnTensors({ gate, up, down }: FfnWeights): FfnTensors {
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
  };
}

/** A network that owns its two tensors. */
export class Ffn {
  readonly tensors: FfnTensors;

  constructor(weights: FfnWeights) {
    this.tensors = ffnTensors(weights);
  }

  /** down(silu(gate(x)) · up(x)) of rows [N,H]: [N,H]. The caller disposes it. */
  forward(x_NH: Tensor2D): Tensor2D {
    return tidy(() => this.project(swiglu(this.expand(x_NH))));
  }

  /** x·[gate|up], [N,2I]. */
  expand(x_NH: Tensor2D): Tensor2D {
    return matMul(x_NH, this.tensors.gateUp_H2I);
  }

  /** h·down, [N,H]. */
  project(h_NI: Tensor2D): Tensor2D {
    return matMul(h_NI, this.tensors.down_IH);
  }

  /** Frees both tensors. */
  dispose(): void {
    this.tensors.gateUp_H2I.dispose();
    this.tensors.down_IH.dispose();
  }
}

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
