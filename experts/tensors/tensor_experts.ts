/**
 * Routed experts as TensorFlow.js tensors, on any backend.
 * Shape suffixes: N rows of one expert, M rows of all, H hidden, I intermediate, K choices per token.
 */
import type { Expert, ExpertCompute, ExpertRows, ReceivedRows } from '../expert_compute.js';
import { Ffn, readColumns, type FfnTensors, type FfnWeights } from '../ffn.js';
import { rowsFrom, rowsOf, stackRows, swiglu, tidy, toTensor, type Tensor2D } from '../tf.js';
import { bf16Of, convertMatrix, matrixOf, type WeightDtype } from '../weight_matrix.js';
import { matrixRowsOf } from '../weight_rows.js';

export class TensorExpert implements Expert {
  readonly ffn: Ffn;
  private readonly dtype: WeightDtype;

  /** `dtype`: of the rows that it gives away. */
  constructor({ gate, up, down }: FfnWeights, dtype: WeightDtype) {
    const [a, b, c] = [gate, up, down].map((matrix) => convertMatrix(matrix, dtype));
    this.ffn = new Ffn({ gate: a!, up: b!, down: c! });
    this.dtype = dtype;
  }

  async rows(from: number, to: number): Promise<Uint8Array[]> {
    const { gateUp_H2I, down_IH } = this.ffn.tensors;
    const [intermediate, hidden] = down_IH.shape;
    return Promise.all(
      matrixRowsOf({ hidden, intermediate }, from, to).map(async ({ name, from: first, to: end }) => {
        const start = name === 'up' ? intermediate : 0;
        const values = await readColumns(name === 'down' ? down_IH : gateUp_H2I, start + first, start + end);
        return this.dtype === 'bf16' ? bf16Of(values) : matrixOf(values, values.length, 1).bytes;
      }),
    );
  }

  tensors(): FfnTensors {
    const { gateUp_H2I, down_IH } = this.ffn.tensors;
    return { gateUp_H2I: gateUp_H2I.clone(), down_IH: down_IH.clone() };
  }

  dispose(): void {
    this.ffn.dispose();
  }
}

export interface TensorExpertsOptions {
  readonly hidden: number;
  readonly numTopk: number;
  /** What weights are rounded to before they become float32 tensors, and travel as. Default f32. */
  readonly dtype?: WeightDtype;
}

export class TensorExperts implements ExpertCompute<TensorExpert> {
  readonly dtype: WeightDtype;
  private readonly options: TensorExpertsOptions;

  constructor(options: TensorExpertsOptions) {
    this.options = options;
    this.dtype = options.dtype ?? 'f32';
  }

  /** @throws ExpertError INVALID_ARGUMENT for int8 */
  load(weights: FfnWeights): TensorExpert {
    return new TensorExpert(weights, this.dtype);
  }

  async forward(groups: readonly ExpertRows<TensorExpert>[], recv: ReceivedRows): Promise<Float32Array> {
    const { hidden, numTopk } = this.options;
    const y_MH = tidy(() => runExperts(groups, recv.recvX, hidden, numTopk));
    const y = await rowsOf(y_MH);
    y_MH.dispose();
    return recv.reduce === 'rank'
      ? sumPerRow(groups, y, recv, hidden, numTopk)
      : inChoiceOrder(groups, y, recv, hidden);
  }

  dispose(): void {
    // Experts are all it has.
  }
}

/** All rows of one expert in one matmul; the activation of all experts in one go. Rows come out group by group. */
function runExperts(
  groups: readonly ExpertRows<TensorExpert>[],
  recvX: Float32Array,
  hidden: number,
  numTopk: number,
): Tensor2D {
  // A single token goes to all its experts as it is; otherwise each expert gets its own rows.
  const single = recvX.length === hidden ? toTensor(recvX, [1, hidden]) : null;
  const expanded = groups.map(({ expert, choices }) =>
    expert.ffn.expand(single ?? gather(recvX, choices, hidden, numTopk)),
  );
  const activated_MI = swiglu(stackRows(expanded));
  let start = 0;
  const projected = groups.map(({ expert, choices }) => {
    const own_NI = rowsFrom(activated_MI, start, choices.length);
    start += choices.length;
    return expert.ffn.project(own_NI);
  });
  return stackRows(projected);
}

function gather(recvX: Float32Array, choices: readonly number[], hidden: number, numTopk: number): Tensor2D {
  const rows = new Float32Array(choices.length * hidden);
  choices.forEach((choice, i) => {
    const row = Math.floor(choice / numTopk);
    rows.set(recvX.subarray(row * hidden, (row + 1) * hidden), i * hidden);
  });
  return toTensor(rows, [choices.length, hidden]);
}

/** Where each choice's row lies in the experts' output: choice → row of y. */
function rowOfChoice(groups: readonly ExpertRows<TensorExpert>[], numChoices: number): Int32Array {
  const rows = new Int32Array(numChoices).fill(-1);
  let next = 0;
  for (const { choices } of groups) for (const choice of choices) rows[choice] = next++;
  return rows;
}

/** Row n = Σ over its local choices, in ascending k, of weight × expert output; each addition rounds to float32. */
function sumPerRow(
  groups: readonly ExpertRows<TensorExpert>[],
  y: Float32Array,
  recv: ReceivedRows,
  hidden: number,
  numTopk: number,
): Float32Array {
  const out = new Float32Array(recv.numRecvTokens * hidden);
  const rows = rowOfChoice(groups, recv.recvTopkIdx.length);
  for (let choice = 0; choice < rows.length; choice++) {
    if (rows[choice]! < 0) continue;
    const weight = recv.recvTopkWeights[choice]!;
    const from = rows[choice]! * hidden;
    const to = Math.floor(choice / numTopk) * hidden;
    for (let h = 0; h < hidden; h++) out[to + h]! += weight * y[from + h]!;
  }
  return out;
}

/** One row per local choice, in the order of recvTopkIdx. */
function inChoiceOrder(
  groups: readonly ExpertRows<TensorExpert>[],
  y: Float32Array,
  recv: ReceivedRows,
  hidden: number,
): Float32Array {
  const out = new Float32Array(y.length);
  let next = 0;
  for (const row of rowOfChoice(groups, recv.recvTopkIdx.length)) {
    if (row < 0) continue;
    out.set(y.subarray(row * hidden, (row + 1) * hidden), next);
    next += hidden;
  }
  return out;
}
