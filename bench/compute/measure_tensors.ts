/**
 * Routed experts as TensorFlow.js tensors on one backend, against its own copy and large matmul; and the products of several experts done in the ways that there
 * are, which is what compute/tfjs/experts/tensor_experts.ts was chosen by.
 */
import {
  add,
  clone,
  hasOwnMemory,
  matMul,
  numKernelRuns,
  reshape,
  rowsFrom,
  rowsOf,
  stackRows,
  tidy,
  toTensor,
  type Tensor,
  type Tensor2D,
} from '../../compute/tfjs/tf.js';
import { TensorExperts } from '../../compute/tfjs/experts/tensor_experts.js';
import { tf, type TfjsTensor } from '../../compute/tfjs/library/tfjs.js';
import { batchRow, besideYardsticks, type BatchRow } from './batch_figures.js';
import { ExpertLayer } from './expert_runs.js';
import type { ComputeOptions, ComputeShape } from './options.js';
import { randomRows } from './random_weights.js';
import { inTurns } from './turns.js';

/** Figures of one backend: its own copy and large matmul, and routed experts beside them. */
export interface TensorsRow {
  readonly backend: string;
  /** Bytes read and written per second by the backend's own addition, 10⁹. */
  readonly copy_gb_per_s: number;
  readonly matmul_gflops: number;
  readonly batches: readonly TensorsBatchRow[];
}

/** A batch of routed experts as tensors, with the ways to do the products of several experts. */
export interface TensorsBatchRow extends BatchRow {
  /** Of TensorFlow.js, per layer. */
  readonly ops: number;
  /** Milliseconds of the first product of the active experts, at most MAX_PRODUCTS of them, with equally many rows each. */
  readonly products: {
    /** One after another. */
    readonly apart_ms: number;
    /** As one batched product of weights that lie in one tensor. */
    readonly batched_ms: number;
    /** As one batched product of weights that are joined first. */
    readonly joined_ms: number;
  };
}

/** Rows of 1024 float32 that are copied: more than caches hold, and fewer where an addition in JavaScript takes seconds. */
const copyRows = ({ backend }: ComputeOptions): number => 2 ** (backend === 'cpu' ? 12 : 15);
const MAX_PRODUCTS = 16;
/** A batched product doubles the weights in memory, and the wasm backend's holds 4 GiB with copies of all operands. */
const MAX_WASM_BYTES = 2 ** 30;

const bytesOf = ({ hidden, intermediate }: ComputeShape): number => 4 * 3 * hidden * intermediate;

/** Whether the experts fit the backend as tensors, with what is compared. */
export const fitsBackend = (options: ComputeOptions): boolean =>
  options.backend !== 'wasm' || options.numExperts * bytesOf(options) <= MAX_WASM_BYTES;

/** Experts, their products, the copy and the large matmul in turns on the selected backend; all tensors are freed at the end. */
export async function measureTensors(options: ComputeOptions, signal: AbortSignal): Promise<TensorsRow> {
  const { backend, hidden, numTopk, seed, repeats, clock, matmul } = options;
  const expertBytes = bytesOf(options);
  const layer = new ExpertLayer(options, new TensorExperts({ hidden, numTopk }), 'f32', seed);
  const batches = options.tokens.map((tokens) => ({ tokens, ...layer.tokens(tokens) }));
  const products = batches.map(
    ({ numActive, numRows }) => new Products(options, numActive, Math.ceil(numRows / numActive)),
  );
  const yardsticks = yardstickRuns(options);
  const runs = new Map<string, () => void | Promise<void>>([
    ['copy', yardsticks.copy],
    ['matmul', yardsticks.matmul],
    ...batches.flatMap(({ tokens, run }, i): [string, () => Promise<void>][] => [
      [`${tokens} tokens`, run],
      [`${tokens} apart`, () => products[i]!.apart()],
      [`${tokens} batched`, () => products[i]!.batched()],
      [`${tokens} joined`, () => products[i]!.joined()],
    ]),
  ]);
  const times = await inTurns(runs, repeats, signal, clock);
  const ops = new Map<number, number>();
  for (const { tokens, run } of batches) {
    const before = numKernelRuns();
    await run();
    ops.set(tokens, numKernelRuns() - before);
  }
  for (const part of [yardsticks, layer, ...products]) part.dispose();

  const copyBytes = 2 * 4 * copyRows(options) * 1024;
  const at = besideYardsticks(times, { run: 'copy', amount: copyBytes }, matmul);
  const { bandwidth, matmul: large } = at('median', 'copy');
  return {
    backend,
    copy_gb_per_s: bandwidth,
    matmul_gflops: large,
    batches: batches.map((batch): TensorsBatchRow => {
      const name = `${batch.tokens} tokens`;
      const ms = (way: string): number => times.median.get(`${batch.tokens} ${way}`)!;
      return {
        ...batchRow(options, batch, expertBytes, at('median', name), at('best', name)),
        ops: ops.get(batch.tokens)!,
        products: { apart_ms: ms('apart'), batched_ms: ms('batched'), joined_ms: ms('joined') },
      };
    }),
  };
}

/** Computes, and waits until it is done; a device is asked for one row, since it goes on by itself. */
async function finish(compute: () => Tensor): Promise<void> {
  const result = compute();
  if (hasOwnMemory()) {
    const width = result.shape.at(-1)!;
    const row = tidy(() => clone(rowsFrom(reshape(result, [result.size / width, width]), 0, 1)));
    await rowsOf(row);
    row.dispose();
  }
  result.dispose();
}

function yardstickRuns(options: ComputeOptions) {
  const { matmul, seed } = options;
  const [rows, inner, columns] = matmul;
  const numCopied = copyRows(options);
  const a = toTensor(randomRows(seed, rows * inner), [rows, inner]);
  const b = toTensor(randomRows(seed, inner * columns), [inner, columns]);
  const long = toTensor(new Float32Array(numCopied * 1024).fill(1), [numCopied, 1024]);
  const one = toTensor(Float32Array.of(1), [1, 1]);
  return {
    matmul: (): Promise<void> => finish(() => matMul(a, b)),
    copy: (): Promise<void> => finish(() => add(long, one)),
    dispose: (): void => {
      for (const tensor of [a, b, long, one]) tensor.dispose();
    },
  };
}

/** [N,W] of each of E → [E,N,W]. */
const stack = (matrices: readonly Tensor2D[]): TfjsTensor => tf.stack([...matrices] as TfjsTensor[]);

/** The gate and up product of several experts, each with as many rows. */
class Products {
  private readonly weights: readonly Tensor2D[];
  private readonly rows: readonly Tensor2D[];
  private readonly allWeights: TfjsTensor;
  private readonly allRows: TfjsTensor;

  constructor({ hidden, intermediate, seed }: ComputeOptions, numActive: number, numRows: number) {
    const numExperts = Math.min(numActive, MAX_PRODUCTS);
    const [weights, rows] = [randomRows(seed, hidden * 2 * intermediate), randomRows(seed, numRows * hidden)];
    this.weights = Array.from({ length: numExperts }, () => toTensor(weights, [hidden, 2 * intermediate]));
    this.rows = Array.from({ length: numExperts }, () => toTensor(rows, [numRows, hidden]));
    this.allWeights = stack(this.weights);
    this.allRows = stack(this.rows);
  }

  apart(): Promise<void> {
    return finish(() => tidy(() => stackRows(this.rows.map((rows, i) => matMul(rows, this.weights[i]!)))));
  }

  batched(): Promise<void> {
    return finish(() => tf.matMul(this.allRows, this.allWeights));
  }

  joined(): Promise<void> {
    return finish(() => tidy(() => tf.matMul(this.allRows, stack(this.weights))));
  }

  dispose(): void {
    for (const tensor of [...this.weights, ...this.rows, this.allWeights, this.allRows]) tensor.dispose();
  }
}
