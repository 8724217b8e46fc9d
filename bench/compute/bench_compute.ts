/** `expertwire bench compute`: what experts, matmuls and decoding layers reach of this machine, in one process. */
import { selectBackend } from '../../compute/tfjs/tf.js';
import type { CommandContext } from '../../lib/commands/base/context.js';
import type { Compute } from '../../lib/model/weights/residence.js';
import { thisMachine } from '../base/machine.js';
import { accepted } from '../base/options.js';
import { measureDecode } from './measure_decode.js';
import { measureExperts } from './measure_experts.js';
import { fitsBackend, measureTensors } from './measure_tensors.js';
import { parseOptions } from './options.js';
import { report } from './report.js';

/** Runs the benchmark and writes a report, or one JSON object with --json, to `stdout`. @throws UsageError for options that can't be measured. */
export async function benchCompute(args: readonly string[], { stdout, signal }: CommandContext): Promise<void> {
  const options = accepted(parseOptions(args));
  await selectBackend(options.backend);
  const hasKernels = options.backend === 'wasm';
  const dtypes = hasKernels ? await measureExperts(options, signal) : [];
  const tensors = fitsBackend(options) ? await measureTensors(options, signal) : null;
  const computes: readonly Compute[] = hasKernels ? ['kernels', 'tensors'] : ['tensors'];
  const decode = options.decodeTokens === 0 ? [] : await measureDecode(options, computes, signal);
  const figures = { dtypes, tensors, decode };
  const { seed, repeats, backend, isFused: fused, hidden, intermediate, numExperts, numTopk, matmul, model } = options;
  const settings = {
    seed,
    repeats,
    backend,
    fused,
    hidden,
    intermediate,
    experts: numExperts,
    topk: numTopk,
    matmul,
    model,
  };
  const machine = thisMachine();
  stdout.write(options.json ? `${JSON.stringify({ machine, ...settings, ...figures })}\n` : report(options, figures));
}
