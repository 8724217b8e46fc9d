/** `expertwire make-checkpoint`: a random checkpoint of any family and shape, for experiments. */
import { countsText } from '../../experts/placement/expert_counts.js';
import { closest } from 'fastest-levenshtein';
import type { Argv } from 'yargs';
import { bytes } from '../metrics/charts.js';
import { ModelError } from '../model/spec/errors.js';
import { makeRandomCheckpoint } from '../model/random_checkpoint.js';
import { CODE_FORMATS, type CodeFormat } from '../model/random_codes.js';
import { RANDOM_FAMILIES, randomConfig, type RandomFamily } from '../model/random_config.js';
import { MIN_BYTE_VOCAB } from '../model/random_tokenizer.js';
import { expertCountsOf, moeLayersOf } from '../model/spec/spec.js';
import { WRITABLE_DTYPES, type WritableDtype } from '../weights/dtypes.js';
import { WeightError } from '../weights/errors.js';
import { UsageError, type CommandContext } from './base/context.js';
import { seedNumber, wholeNumber, wholeNumbers } from './base/numbers.js';
import { ProgressBar } from './base/progress_bar.js';

/** The options of `make-checkpoint` as yargs parses them, with their defaults. */
export interface MakeCheckpointArgs {
  readonly dir: string;
  readonly family: RandomFamily;
  readonly layers: number;
  readonly denseLayers?: number | undefined;
  readonly hidden: number;
  readonly experts: string;
  readonly residual?: boolean | undefined;
  readonly topk: number;
  readonly intermediate: number;
  readonly heads: number;
  readonly vocab: number;
  readonly set: readonly string[];
  readonly dtype: WritableDtype;
  readonly codes?: CodeFormat | undefined;
  readonly seed: number;
  readonly maxShardMib?: number | undefined;
  readonly json?: boolean | undefined;
}

/** Adds the folder and the options of `make-checkpoint` to a command line. */
export function makeCheckpointOptions<T>(yargs: Argv<T>): Argv<T & MakeCheckpointArgs> {
  const shape = 'Shape:';
  const families = RANDOM_FAMILIES;
  return yargs
    .positional('dir', { type: 'string', demandOption: true, describe: 'folder to write; new or empty' })
    .option('family', { choices: families, default: 'deepseek_v3' as const, describe: 'family', group: shape })
    .option('layers', { type: 'number', default: 2, describe: 'layers', group: shape })
    .option('dense-layers', { type: 'number', describe: 'the first ones, without experts (0)', group: shape })
    .option('hidden', { type: 'number', default: 256, describe: 'hidden size', group: shape })
    .option('experts', {
      type: 'string',
      default: '32',
      describe: 'routed experts per layer; 4,4,8,8: of each layer (deepspeed_moe)',
      group: shape,
    })
    .option('residual', {
      type: 'boolean',
      describe: 'a network beside the experts of each layer (deepspeed_moe)',
      group: shape,
    })
    .option('topk', { type: 'number', default: 4, describe: 'experts per token', group: shape })
    .option('intermediate', { type: 'number', default: 256, describe: "an expert's intermediate size", group: shape })
    .option('heads', { type: 'number', default: 4, describe: 'attention heads', group: shape })
    .option('vocab', { type: 'number', default: 2048, describe: 'tokens of the vocabulary', group: shape })
    .option('set', {
      type: 'string',
      array: true,
      nargs: 1,
      default: [],
      describe: 'any other key of config.json: KEY=VALUE; repeatable',
      group: shape,
    })
    .option('dtype', { choices: WRITABLE_DTYPES, default: 'BF16' as const, describe: 'element type on disk' })
    .option('codes', {
      choices: CODE_FORMATS,
      describe: 'format of projections (FP8) or of routed experts (INT4, MXFP4)',
    })
    .option('seed', { type: 'number', default: 0, describe: 'another seed, other weights' })
    .option('max-shard-mib', { type: 'number', describe: 'MiB of tensors per file (4096)' })
    .option('json', { type: 'boolean', describe: 'one JSON object' });
}

/** Writes the checkpoint and prints what it is. @throws UsageError for a shape that can't be, or a folder that is not empty; WeightError where writing fails */
export async function makeCheckpoint(
  args: MakeCheckpointArgs,
  { stdout, stderr, signal }: CommandContext,
): Promise<void> {
  const { dir, dtype, codes = null, seed } = args;
  const config = configOf(args);
  seedNumber('--seed', seed);
  const maxShardMib = wholeNumber('--max-shard-mib', args.maxShardMib, 1);
  const progress = new ProgressBar(stderr, 'writing');
  const options = {
    ...{ config, dtype, codes, hasTokenizer: true, seed, signal },
    maxShardBytes: maxShardMib === undefined ? undefined : maxShardMib * 2 ** 20,
    onProgress: (doneBytes: number, allBytes: number) => progress.update(doneBytes / allBytes),
  };
  const { spec, numParameters, hasTokenizer, totalBytes, files } = await makeRandomCheckpoint(dir, options)
    .catch(asMistake)
    .finally(() => progress.close());
  if (!hasTokenizer) {
    const room = `--vocab ${spec.vocabSize} has no room for a byte-level tokenizer, which takes ${MIN_BYTE_VOCAB} tokens`;
    stderr.write(`${room}: give prompts as token ids\n`);
  }
  if (args.json === true) {
    const parts = { parameters: numParameters, bytes: totalBytes, files, tokenizer: hasTokenizer };
    const figures = { dir, model_type: spec.modelType, ...parts };
    stdout.write(`${JSON.stringify(figures)}\n`);
    return;
  }
  const { numTopk } = spec.moe.gate;
  const numExperts = countsText(expertCountsOf(spec));
  stdout.write(
    `${dir}: ${spec.modelType}, ${spec.layers.length} layers, ${moeLayersOf(spec).length} of them with ${numExperts} experts, ` +
      `${numTopk} per token; ${(numParameters / 1e6).toFixed(1)} M parameters, ${bytes(totalBytes)} ${codes === null ? dtype : `${codes} and ${dtype}`} in ` +
      `${files.length} ${files.length === 1 ? 'file' : 'files'}\n`,
  );
}

function configOf(args: MakeCheckpointArgs): Readonly<Record<string, unknown>> {
  const { family, denseLayers = 0, dtype } = args;
  const counts = { layers: args.layers, hidden: args.hidden, topk: args.topk };
  const [first, ...rest] = wholeNumbers('--experts', args.experts);
  const experts = rest.length === 0 ? first! : [first!, ...rest];
  const sizes = { ...counts, intermediate: args.intermediate, heads: args.heads, vocab: args.vocab };
  for (const [name, value] of Object.entries(sizes)) wholeNumber(`--${name}`, value, 1);
  wholeNumber('--dense-layers', denseLayers, 0);
  const config = mistakesOf(() =>
    randomConfig(family, { ...sizes, experts, denseLayers, dtype, residual: args.residual === true }),
  );
  return { ...config, ...Object.fromEntries(args.set.map((setting) => parseSetting(setting, config))) };
}

/** Keys that other options say, or that follow from the family. */
const FIXED_KEYS: ReadonlySet<string> = new Set(['model_type', 'architectures', 'torch_dtype']);

/** KEY=VALUE, VALUE being JSON or bare text; only what the family's config.json has. */
function parseSetting(setting: string, config: object): [string, unknown] {
  const end = setting.indexOf('=');
  if (end < 1) throw new UsageError(`--set ${setting} is not KEY=VALUE; write for example --set n_group=4`);
  const key = setting.slice(0, end);
  const known = Object.keys(config).filter((each) => !FIXED_KEYS.has(each));
  if (!known.includes(key)) {
    throw new UsageError(`--set: config.json has no '${key}' to set; did you mean '${closest(key, known)}'?`);
  }
  return [key, jsonOr(setting.slice(end + 1))];
}

function jsonOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function mistakesOf<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    return asMistake(error);
  }
}

function asMistake(error: unknown): never {
  throw isMistake(error) ? new UsageError(error.message) : error;
}

/** Another shape or another folder mends it. */
const isMistake = (error: unknown): error is Error =>
  error instanceof ModelError || (error instanceof WeightError && error.code === 'FOLDER_NOT_EMPTY');
