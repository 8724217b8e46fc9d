/**
 * SwiGLU feed-forward networks: down(silu(gate(x)) · up(x)). One expert, the shared experts and dense layers are all of this form.
 * Shape suffixes: N rows, H hidden, I intermediate.
 */
import { matMul, rowsFrom, rowsOf, swiglu, tidy, toTensor, type Tensor2D } from './tf.js';

/** Transposed for plain x·W products: only those are fast, and row-independent, on the wasm backend. */
export interface FfnWeights {
  readonly hidden: number;
  readonly intermediate: number;
  /** [H·2I]: row h holds the gate's I weights, then up's. */
  readonly gateUp: Float32Array;
  /** [I·H] */
  readonly down: Float32Array;
}

export class Ffn {
  private readonly gateUp_H2I: Tensor2D;
  private readonly down_IH: Tensor2D;

  constructor(weights: FfnWeights) {
    const { hidden, intermediate } = weights;
    this.gateUp_H2I = toTensor(weights.gateUp, [hidden, 2 * intermediate]);
    this.down_IH = toTensor(weights.down, [intermediate, hidden]);
  }

  forward(x_NH: Tensor2D): Tensor2D {
    return tidy(() => this.project(swiglu(this.expand(x_NH))));
  }

  /** x·[gate|up], [N,2I]. */
  expand(x_NH: Tensor2D): Tensor2D {
    return matMul(x_NH, this.gateUp_H2I);
  }

  /** h·down, [N,H]. */
  project(h_NI: Tensor2D): Tensor2D {
    return matMul(h_NI, this.down_IH);
  }

  /** Rows `from` … `to` − 1 of the weights as they are stored, in one or two pieces: rows 0 … H − 1 are gateUp's, the I rows after them down's. */
  async rows(from: number, to: number): Promise<Float32Array[]> {
    const { gateUp_H2I, down_IH } = this;
    const [hidden] = gateUp_H2I.shape;
    const pieces = [
      [gateUp_H2I, from, Math.min(to, hidden)],
      [down_IH, Math.max(from - hidden, 0), to - hidden],
    ] as const;
    return Promise.all(pieces.filter(([, first, end]) => end > first).map((piece) => readRows(...piece)));
  }

  dispose(): void {
    this.gateUp_H2I.dispose();
    this.down_IH.dispose();
  }
}

async function readRows(matrix: Tensor2D, from: number, to: number): Promise<Float32Array> {
  if (to - from === matrix.shape[0]) return rowsOf(matrix);
  const rows = rowsFrom(matrix, from, to - from);
  try {
    return await rowsOf(rows);
  } finally {
    rows.dispose();
  }
}
