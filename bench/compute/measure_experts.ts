/** Routed experts against memory bandwidth and the module's own large matmul, and that against TensorFlow.js's. */
import { KernelMemories } from '../../compute/wasm/memory/kernel_memories.js';
import { KernelMatrix } from '../../compute/wasm/memory/kernel_matrix.js';
import { KernelMemory } from '../../compute/wasm/memory/kernel_memory.js';
import { PLAIN_KERNELS, type Activations, type KernelSettings } from '../../compute/wasm/memory/kernel_settings.js';
import { ResidentExperts } from '../../compute/wasm/experts/resident_experts.js';
import { padded } from '../../compute/wasm/memory/resident_dtype.js';
import { matMul, toTensor } from '../../compute/tfjs/tf.js';
import { transposedFloats, type WeightDtype } from '../../compute/base/weight_matrix.js';
import { batchRow, besideYardsticks, flopsOf, giga, type BatchRow } from './batch_figures.js';
import { ExpertLayer } from './expert_runs.js';
import type { ComputeOptions } from './options.js';
import { randomMatrix, randomRows } from './random_weights.js';
import { openStream } from './stream.js';
import { inTurns } from './turns.js';

/** Figures of one dtype beside one type of activations; medians, and the best in brackets' place in the fields named so. */
export interface DtypeRow {
  readonly dtype: WeightDtype;
  /** What rows are rounded to. */
  readonly activations: Activations;
  /** Bytes read per second by one core, 10⁹. */
  readonly read_gb_per_s: number;
  /** Bytes copied per second, each read and written. */
  readonly copy_gb_per_s: number;
  readonly matmul_gflops: number;
  /** TensorFlow.js's wasm backend, float32, of the same shape. */
  readonly tfjs_gflops: number;
  readonly matmul_ratio: number;
  readonly batches: readonly BatchRow[];
}

/** More than any cache holds. */
const STREAM_BYTES = 2 ** 29;

/** One row per weight dtype of `options`, and of whole numbers per type of activations: its batches, large matmuls and memory streams run in turns. */
export async function measureExperts(options: ComputeOptions, signal: AbortSignal): Promise<DtypeRow[]> {
  const stream = openStream(STREAM_BYTES);
  const rows: DtypeRow[] = [];
  for (const { dtype, activations } of kindsOf(options)) {
    const { hidden, numTopk, seed } = options;
    const settings = { ...PLAIN_KERNELS, fma: options.isFused, activations };
    const compute = new ResidentExperts(new KernelMemories({}, settings), { hidden, numTopk });
    const layer = new ExpertLayer(options, compute, dtype, seed);
    const batches = options.tokens.map((tokens) => ({ tokens, ...layer.tokens(tokens) }));
    const matmul = matmulRuns(options, dtype, settings);
    const runs = new Map<string, () => void | Promise<void>>([
      ['read', stream.read],
      ['copy', stream.copy],
      ['matmul', matmul.kernel],
      ['tfjs', matmul.tfjs],
      ...batches.map(({ tokens, run }): [string, () => Promise<void>] => [`${tokens} tokens`, run]),
    ]);
    const times = await inTurns(runs, options.repeats, signal);
    const expertBytes = layer.experts[0]!.numBytes;
    matmul.dispose();
    layer.dispose();
    const at = besideYardsticks(times, { run: 'read', amount: STREAM_BYTES }, options.matmul);
    const { bandwidth, matmul: large } = at('median', 'read');
    const tfjs = giga(flopsOf(options.matmul), times.median.get('tfjs')!);
    rows.push({
      ...{ dtype, activations },
      read_gb_per_s: bandwidth,
      copy_gb_per_s: giga(STREAM_BYTES / 2, times.median.get('copy')!),
      ...{ matmul_gflops: large, tfjs_gflops: tfjs, matmul_ratio: large / tfjs },
      batches: batches.map((batch) => {
        const name = `${batch.tokens} tokens`;
        return batchRow(options, batch, expertBytes, at('median', name), at('best', name));
      }),
    });
  }
  return rows;
}

/** Beside weights that aren't whole numbers nothing is rounded. */
function kindsOf({ dtypes, activations }: Pick<ComputeOptions, 'dtypes' | 'activations'>) {
  return dtypes.flatMap((dtype) => {
    const isWhole = dtype === 'int8' || dtype === 'int4' || dtype === 'uint4';
    return (isWhole ? activations : (['f32'] as const)).map((each) => ({ dtype, activations: each }));
  });
}

function matmulRuns(
  { matmul: [rows, inner, columns], seed }: ComputeOptions,
  dtype: WeightDtype,
  settings: KernelSettings,
) {
  const memory = new KernelMemory(undefined, settings);
  const weights = randomMatrix(seed, columns, inner);
  const resident = KernelMatrix.from(memory, weights, dtype);
  const x = randomRows(seed, rows * inner);
  const [xAt, yAt] = [memory.allocate(4 * rows * padded(inner)), memory.allocate(4 * rows * columns)];
  for (let row = 0; row < rows; row++) {
    memory.floats(xAt + 4 * row * padded(inner), inner).set(x.subarray(row * inner, (row + 1) * inner));
  }
  const a = toTensor(x, [rows, inner]);
  const b = toTensor(transposedFloats(weights), [inner, columns]);
  return {
    kernel: (): void => memory.kernels.linear(xAt, rows, resident.address, yAt, columns),
    tfjs: (): void => matMul(a, b).dispose(),
    dispose: (): void => {
      a.dispose();
      b.dispose();
    },
  };
}
