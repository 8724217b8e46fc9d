/**
 * Routed experts as TensorFlow.js tensors, on any backend.
 * Shape suffixes: N rows of one expert, M rows of all, H hidden, I intermediate.
 */
import type { ReceivedRows } from '../../../base/received_rows.js';
import { SWIGLU, type ActivationSpec } from '../../base/activation_spec.js';
import type { Expert, ExpertCompute } from '../../base/expert_compute.js';
import type { ExpertGroups } from '../../base/expert_groups.js';
import type { FfnBiasTensors, FfnTensors, FfnWeights } from '../../base/ffn_weights.js';
import { activate, Ffn, readColumns } from './ffn.js';
import { clone, hasOwnMemory, rowsFrom, rowsOf, stackRows, tidy, type Tensor2D } from '../tf.js';
import { bf16Of, convertMatrix, matrixOf, type WeightDtype } from '../../base/weight_matrix.js';
import { matrixRowsOf } from '../../base/weight_rows.js';
import { deviceRows } from './device_rows.js';
import { hostRows } from './host_rows.js';
import type { RowExchange } from './row_exchange.js';

/** One expert as float32 tensors, whatever the type that its rows travel as. */
export class TensorExpert implements Expert {
  readonly ffn: Ffn;

  /** `dtype`: of the rows that it gives away. */
  constructor(
    { gate, up, down, biases }: FfnWeights,
    private readonly dtype: WeightDtype,
    activation: ActivationSpec,
  ) {
    const [a, b, c] = [gate, up, down].map((matrix) => convertMatrix(matrix, dtype));
    this.ffn = new Ffn({ gate: a!, up: b!, down: c!, biases }, activation);
  }

  /** Reads them back from the tensors, and rounds them where they travel as bf16. */
  async rows(from: number, to: number): Promise<Uint8Array[]> {
    const { gateUp_H2I, down_IH, biases } = this.ffn.tensors;
    const [intermediate, hidden] = down_IH.shape;
    return Promise.all(
      matrixRowsOf({ hidden, intermediate, hasBias: biases !== null }, from, to).map(async (piece) => {
        const { name, from: first, to: end } = piece;
        if (name === 'biases') return bytesOfBiases(biases!, first, end);
        const start = name === 'up' ? intermediate : 0;
        const values = await readColumns(name === 'down' ? down_IH : gateUp_H2I, start + first, start + end);
        return this.dtype === 'bf16' ? bf16Of(values) : matrixOf(values, values.length, 1).bytes;
      }),
    );
  }

  /** They share the memory of its own. */
  tensors(): FfnTensors {
    const { gateUp_H2I, down_IH, biases } = this.ffn.tensors;
    return {
      gateUp_H2I: clone(gateUp_H2I),
      down_IH: clone(down_IH),
      biases: biases && { gateUp_2I: clone(biases.gateUp_2I), down_H: clone(biases.down_H) },
    };
  }

  /** Frees its tensors. */
  dispose(): void {
    this.ffn.dispose();
  }
}

async function bytesOfBiases(
  { gateUp_2I, down_H }: FfnBiasTensors,
  from: number,
  to: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const values = [...(await rowsOf(gateUp_2I)), ...(await rowsOf(down_H))];
  return new Uint8Array(Float32Array.from(values.slice(from, to)).buffer);
}

/** What {@link TensorExperts} needs to know of the rows that it gets. */
export interface TensorExpertsOptions {
  readonly hidden: number;
  readonly numTopk: number;
  /** Default SwiGLU. */
  readonly activation?: ActivationSpec;
  /** Default: by the backend's memory. */
  readonly exchange?: RowExchange;
}

/** Runs experts with the active backend of TensorFlow.js. */
export class TensorExperts implements ExpertCompute<TensorExpert> {
  private readonly activation: ActivationSpec;
  private readonly exchange: RowExchange;

  constructor(private readonly options: TensorExpertsOptions) {
    this.activation = options.activation ?? SWIGLU;
    this.exchange = options.exchange ?? (hasOwnMemory() ? deviceRows : hostRows);
  }

  /** `dtype`: what weights are rounded to before they become float32 tensors, and travel as. @throws ExpertError INVALID_ARGUMENT for a coded type */
  load(weights: FfnWeights, dtype: WeightDtype): TensorExpert {
    return new TensorExpert(weights, dtype, this.activation);
  }

  /** One matmul per expert and matrix; the rows' way depends on where the backend keeps tensors. */
  async forward(groups: ExpertGroups<TensorExpert>, recv: ReceivedRows): Promise<Float32Array> {
    const { exchange, options, activation } = this;
    const y_MH = tidy(() => runExperts(groups, exchange.spread(groups, recv, options), activation));
    return exchange.collect(y_MH, groups, recv, options);
  }

  /** Does nothing: callers dispose the experts themselves. */
  dispose(): void {
    // Experts are all it has.
  }
}

/**
 * All rows of one expert in one matmul; the activation of all experts in one go. Rows come out group by group. A batched product over padded rows is slower
 * on every backend but for single rows of small experts (`expertwire bench compute`), and would want all weights of a layer in one tensor.
 */
function runExperts(
  { experts, starts }: ExpertGroups<TensorExpert>,
  rows: readonly Tensor2D[],
  activation: ActivationSpec,
): Tensor2D {
  const expanded = experts.map(({ ffn }, g) => ffn.expand(rows[g]!));
  const activated_MI = activate(stackRows(expanded), activation);
  const projected = experts.map(({ ffn }, g) =>
    ffn.project(rowsFrom(activated_MI, starts[g]!, starts[g + 1]! - starts[g]!)),
  );
  return stackRows(projected);
}
