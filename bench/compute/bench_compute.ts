/** `expertwire bench compute`: what experts, matmuls and decoding layers reach of this machine, in one process. */
import { selectBackend } from '../../experts/tf.js';
import type { CommandContext } from '../../lib/commands/context.js';
import { table } from '../../lib/metrics/charts.js';
import { thisMachine } from '../machine.js';
import { measureDecode, type DecodeRow } from './measure_decode.js';
import { measureExperts, type DtypeRow } from './measure_experts.js';
import { parseOptions, type ComputeOptions } from './options.js';

export async function benchCompute(args: readonly string[], { stdout, signal }: CommandContext): Promise<void> {
  const options = parseOptions(args);
  await selectBackend('wasm');
  const experts = await measureExperts(options, signal);
  const decode = options.decodeTokens === 0 ? [] : await measureDecode(options, signal);
  const machine = thisMachine();
  const { seed, repeats, hidden, intermediate, numExperts, numTopk, matmul, model } = options;
  const settings = { seed, repeats, hidden, intermediate, experts: numExperts, topk: numTopk, matmul, model };
  stdout.write(
    options.json
      ? `${JSON.stringify({ machine, ...settings, dtypes: experts, decode })}\n`
      : report(options, experts, decode),
  );
}

function report(options: ComputeOptions, experts: readonly DtypeRow[], decode: readonly DecodeRow[]): string {
  const { cpu, cores, memory, node } = thisMachine();
  const { seed, repeats, hidden, intermediate, numExperts, numTopk, matmul } = options;
  return `${[
    `${cpu}, ${cores} cores, ${memory}, Node ${node}; seed ${seed}; one process, its own time on the processor; median of ${repeats} in turns, best in brackets`,
    'read, copy GB/s = bytes / time of a plain loop over 512 MiB; matmul GFLOP/s = 2 × rows × inner × columns / time, of the kernels and of tfjs-backend-wasm',
    '',
    table([
      ['weights', 'read GB/s', 'copy GB/s', `matmul ${matmul.join(' × ')}`, 'tfjs, f32', 'ratio'],
      ...experts.map((row) => [
        row.dtype,
        row.read_gb_per_s.toFixed(1),
        row.copy_gb_per_s.toFixed(1),
        row.matmul_gflops.toFixed(1),
        row.tfjs_gflops.toFixed(1),
        `${row.matmul_ratio.toFixed(2)}x`,
      ]),
    ]),
    '',
    `experts: hidden ${hidden}, intermediate ${intermediate}, top ${numTopk} of ${numExperts}; GB/s = weights of active experts / time, of read; ` +
      'GFLOP/s = 6 × rows × hidden × intermediate / time, of matmul',
    '',
    table([
      ['weights × tokens', 'active', 'rows each', 'ms', 'GB/s', 'of read', 'GFLOP/s', 'of matmul'],
      ...experts.flatMap((row) =>
        row.batches.map((batch) => [
          `${row.dtype} × ${batch.tokens}`,
          String(batch.active_experts),
          batch.rows_per_expert.toFixed(1),
          batch.ms.toFixed(2),
          batch.weights_gb_per_s.toFixed(1),
          `${percent(batch.bandwidth_share)} (${percent(batch.best_bandwidth_share)})`,
          batch.gflops.toFixed(1),
          `${percent(batch.matmul_share)} (${percent(batch.best_matmul_share)})`,
        ]),
      ),
    ]),
    ...(decode.length === 0 ? [] : ['', decodeReport(options, decode)]),
  ].join('\n')}\n`;
}

const decodeReport = ({ model, decodeTokens }: ComputeOptions, rows: readonly DecodeRow[]): string =>
  [
    `decoding ${decodeTokens} tokens of ${model}, one at a time, without an engine; ops, calls and copies per layer and token: TensorFlow.js kernels, calls of`,
    'fused kernels, activations and logits copied in or out of their memory',
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
  ].join('\n');

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
