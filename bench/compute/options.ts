import { BACKENDS, type BackendName } from '../../compute/tfjs/tf.js';
import { CHOICE_DTYPES, type WeightDtype } from '../../compute/base/weight_matrix.js';
import { ACTIVATIONS, type Activations } from '../../compute/wasm/memory/kernel_settings.js';
import { UsageError } from '../../lib/commands/base/context.js';
import { checkBytes, list, seedNumber, wholeNumber, wholeNumbers } from '../../lib/commands/base/numbers.js';
import { DEMO_MODEL } from '../../lib/config/package_files.js';
import { benchParser } from '../base/options.js';
import type { Clock } from './turns.js';

/** Of one layer's routed experts. */
export interface ComputeShape {
  readonly hidden: number;
  readonly intermediate: number;
  readonly numExperts: number;
  readonly numTopk: number;
}

/** The checked options of the benchmark: batches in `tokens`, what is timed beside them, and how. */
export interface ComputeOptions extends ComputeShape {
  readonly tokens: readonly number[];
  readonly dtypes: readonly WeightDtype[];
  /** What kernels round rows to beside weights of whole numbers. */
  readonly activations: readonly Activations[];
  /** Kernels round once per product and sum, as ranks do where all of them can. */
  readonly isFused: boolean;
  /** Rows, inner and columns of the large matmul. */
  readonly matmul: readonly [number, number, number];
  readonly model: string;
  readonly decodeTokens: number;
  readonly repeats: number;
  readonly seed: number;
  readonly json: boolean;
  readonly backend: BackendName;
  /** Of times: kernels and wasm use one core, other backends several, or a device. */
  readonly clock: Clock;
}

/** Reads and checks the options. @throws UsageError for what can't be measured, or doesn't fit into memory. */
export function parseOptions(args: readonly string[]): ComputeOptions {
  const what =
    'What experts reach of the memory bandwidth and of a large matmul, and how fast a layer decodes, in one process, with kernels and with the tensors of a backend.';
  const parsed = benchParser('compute', args, what)
    .option('hidden', { type: 'number', default: 2048, describe: 'channels of a token' })
    .option('intermediate', { type: 'number', default: 1024, describe: 'channels inside an expert' })
    .option('experts', { type: 'number', default: 64, describe: 'experts in memory' })
    .option('topk', { type: 'number', default: 8, describe: 'experts per token' })
    .option('tokens', { type: 'string', default: '1,8,32,128', describe: 'batches, in tokens' })
    .option('dtypes', {
      type: 'string',
      default: 'f32,bf16,int8',
      describe: "what the kernels' weights are kept as",
    })
    .option('activations', {
      type: 'string',
      default: 'f32',
      describe: `what rows are rounded to beside weights of whole numbers: ${ACTIVATIONS.join(', ')}`,
    })
    .option('fused', { type: 'boolean', default: false, describe: 'kernels with fused products and sums' })
    .option('matmul', { type: 'string', default: '512,2048,2048', describe: 'rows, inner, columns' })
    .option('model', {
      type: 'string',
      default: DEMO_MODEL,
      defaultDescription: 'models/moe-7m',
      describe: 'model folder, whose layers are timed',
    })
    .option('decode-tokens', { type: 'number', default: 200, describe: 'tokens that it decodes per run; 0 = none' })
    .option('repeats', { type: 'number', default: 9, describe: 'runs in turns; the best and the median are shown' })
    .option('backend', {
      choices: BACKENDS,
      default: 'wasm' as const,
      describe: 'whose tensors are timed; wasm: the kernels too',
    })
    .option('seed', { type: 'number', default: 1, describe: 'of weights, rows and routing' })
    .option('json', { type: 'boolean', default: false, describe: 'one JSON object' })
    .parseSync();
  const { hidden, intermediate, experts: numExperts, topk: numTopk, repeats } = parsed;
  for (const [name, value] of Object.entries({ hidden, intermediate, experts: numExperts, topk: numTopk, repeats }))
    wholeNumber(`--${name}`, value, 1);
  const tokens = wholeNumbers('--tokens', parsed.tokens);
  const matmul = wholeNumbers('--matmul', parsed.matmul);
  wholeNumber('--decode-tokens', parsed.decodeTokens, 0);
  seedNumber('--seed', parsed.seed);
  if (numTopk > numExperts) throw new UsageError(`--topk is ${numTopk}, more than --experts ${numExperts}; lower it`);
  const [rows, inner, columns] = matmul;
  if (matmul.length !== 3) throw new UsageError(`--matmul has ${matmul.length} numbers; give rows,inner,columns`);
  checkSizes({ hidden, intermediate, numExperts, numTopk }, tokens, [rows!, inner!, columns!]);
  return {
    ...{ hidden, intermediate, numExperts, numTopk, tokens, repeats },
    dtypes: list(parsed.dtypes).map((name) => named('dtype', CHOICE_DTYPES, name)),
    activations: list(parsed.activations).map((name) => named('activations', ACTIVATIONS, name)),
    isFused: parsed.fused,
    matmul: [rows!, inner!, columns!],
    model: parsed.model,
    decodeTokens: parsed.decodeTokens,
    seed: parsed.seed,
    json: parsed.json,
    backend: parsed.backend,
    clock: parsed.backend === 'wasm' || parsed.backend === 'cpu' ? 'cpu' : 'wall',
  };
}

/** In float32. Weights are made once and laid out once more. */
function checkSizes(shape: ComputeShape, tokens: readonly number[], matmul: readonly [number, number, number]): void {
  const { hidden, intermediate, numExperts, numTopk } = shape;
  checkBytes('the weights of --experts, --hidden and --intermediate', 2 * 4 * numExperts * 3 * hidden * intermediate);
  const rowBytes = 4 * (hidden + numTopk * (hidden + 2 * intermediate));
  checkBytes('the rows of --tokens', Math.max(...tokens) * rowBytes);
  const [rows, inner, columns] = matmul;
  checkBytes('the matrices of --matmul', 4 * (rows * inner + inner * columns + rows * columns));
}

function named<T extends string>(what: string, all: readonly T[], name: string): T {
  const found = all.find((each) => each === name);
  if (found === undefined) throw new UsageError(`no ${what} '${name}'; there are: ${all.join(', ')}`);
  return found;
}
