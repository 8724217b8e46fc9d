/** The tables of `expertwire bench compute`. */
import { table } from '../../lib/metrics/charts.js';
import { thisMachine } from '../base/machine.js';
import type { BatchRow } from './batch_figures.js';
import type { DecodeRow } from './measure_decode.js';
import type { DtypeRow } from './measure_experts.js';
import type { TensorsRow } from './measure_tensors.js';
import type { ComputeOptions } from './options.js';

/** Null where it wasn't measured. */
export interface ComputeFigures {
  readonly dtypes: readonly DtypeRow[];
  readonly tensors: TensorsRow | null;
  readonly decode: readonly DecodeRow[];
}

/** The text for people: machine, settings, the meaning of every column, and a table for each part that was measured. */
export function report(options: ComputeOptions, { dtypes, tensors, decode }: ComputeFigures): string {
  const { cpu, cores, memory, node } = thisMachine();
  const { seed, repeats, clock } = options;
  const time = clock === 'cpu' ? 'its own time on the processor' : 'time by the clock';
  return [
    `${cpu}, ${cores} cores, ${memory}, Node ${node}; seed ${seed}; one process, ${time}; median of ${repeats} in turns, best in brackets`,
    ...(dtypes.length === 0 ? [] : [kernelsReport(options, dtypes)]),
    tensors === null
      ? `${options.numExperts} such experts as float32 tensors don't fit the ${options.backend} backend; take fewer with --experts\n`
      : tensorsReport(options, tensors),
    ...(decode.length === 0 ? [] : [decodeReport(options, decode)]),
  ].join('\n');
}

const shapeOf = ({ hidden, intermediate, numExperts, numTopk }: ComputeOptions): string =>
  `hidden ${hidden}, intermediate ${intermediate}, top ${numTopk} of ${numExperts}`;

const kernelsReport = (options: ComputeOptions, experts: readonly DtypeRow[]): string =>
  [
    'read, copy GB/s = bytes / time of a plain loop over 512 MiB; matmul GFLOP/s = 2 × rows × inner × columns / time, of the kernels and of tfjs-backend-wasm',
    '',
    table([
      ['weights', 'read GB/s', 'copy GB/s', `matmul ${options.matmul.join(' × ')}`, 'tfjs, f32', 'ratio'],
      ...experts.map((row) => [
        weightsOf(row),
        row.read_gb_per_s.toFixed(1),
        row.copy_gb_per_s.toFixed(1),
        row.matmul_gflops.toFixed(1),
        row.tfjs_gflops.toFixed(1),
        `${row.matmul_ratio.toFixed(2)}x`,
      ]),
    ]),
    '',
    `experts: ${shapeOf(options)}; GB/s = weights of active experts / time, of read; ` +
      'GFLOP/s = 6 × rows × hidden × intermediate / time, of matmul',
    '',
    table([
      ['weights × tokens', 'active', 'rows each', 'ms', 'GB/s', 'of read', 'GFLOP/s', 'of matmul'],
      ...experts.flatMap((row) =>
        row.batches.map((batch) => [`${weightsOf(row)} × ${batch.tokens}`, ...cellsOf(batch)]),
      ),
    ]),
    '',
  ].join('\n');

const weightsOf = ({ dtype, activations }: DtypeRow): string =>
  activations === 'f32' ? dtype : `${dtype}, ${activations} rows`;

const tensorsReport = (options: ComputeOptions, tensors: TensorsRow): string =>
  [
    `${tensors.backend} tensors, float32: copy ${tensors.copy_gb_per_s.toFixed(1)} GB/s = bytes read and written / time of its own addition of 1 to 128 MiB; ` +
      `matmul ${options.matmul.join(' × ')} ${tensors.matmul_gflops.toFixed(1)} GFLOP/s`,
    `experts: ${shapeOf(options)}; GB/s = weights of active experts / time, of copy; GFLOP/s = 6 × rows × hidden × intermediate / time, of matmul;`,
    'ops = TensorFlow.js kernels; apart, batched, joined = ms of the gate and up product of at most 16 active experts: a product each; one batched product of',
    'weights that lie in one tensor; one batched product of weights that are joined first',
    '',
    table([
      [
        'tokens',
        'active',
        'rows each',
        'ms',
        'GB/s',
        'of copy',
        'GFLOP/s',
        'of matmul',
        'ops',
        'apart',
        'batched',
        'joined',
      ],
      ...tensors.batches.map((batch) => [
        String(batch.tokens),
        ...cellsOf(batch),
        String(batch.ops),
        batch.products.apart_ms.toFixed(2),
        batch.products.batched_ms.toFixed(2),
        batch.products.joined_ms.toFixed(2),
      ]),
    ]),
    '',
  ].join('\n');

/** From 'active' to 'of matmul'. */
const cellsOf = (batch: BatchRow): string[] => [
  String(batch.active_experts),
  batch.rows_per_expert.toFixed(1),
  batch.ms.toFixed(2),
  batch.weights_gb_per_s.toFixed(1),
  `${percent(batch.bandwidth_share)} (${percent(batch.best_bandwidth_share)})`,
  batch.gflops.toFixed(1),
  `${percent(batch.matmul_share)} (${percent(batch.best_matmul_share)})`,
];

const decodeReport = ({ model, decodeTokens }: ComputeOptions, rows: readonly DecodeRow[]): string =>
  [
    `decoding ${decodeTokens} tokens of ${model}, one at a time, without an engine; ops, calls and copies per layer and token: TensorFlow.js kernels, calls of`,
    'fused kernels, activations and logits copied in or out of the memory that computes',
    '',
    table([
      ['compute', 'µs/layer', 'best', 'tokens/s', 'ops', 'calls', 'copies'],
      ...rows.map((row) => [
        row.compute,
        row.us_per_layer.toFixed(0),
        row.best_us_per_layer.toFixed(0),
        row.tokens_per_s.toFixed(0),
        row.tfjs_ops.toFixed(1),
        row.kernel_calls.toFixed(1),
        row.copies.toFixed(1),
      ]),
    ]),
    '',
  ].join('\n');

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
