/** `workload.load`: what clients ask of a server, as `expertwire bench serve` has it. */
import * as z from 'zod';
import { choice, integer, key } from '../../config/key_types.js';
import { ConfigError } from '../../config/errors.js';

const MAX_TOKENS = 2 ** 24;
const MAX_TIMEOUT_S = 2_147_483; // what timers count up to

const atLeast = (min: number, allowed: string) => key(z.number().min(min), allowed, 'number');
const over0 = key(z.number().gt(0), 'a number over 0', 'number');
const rate = z.union([z.number().gt(0), z.literal('inf')]);
const count = integer(1, MAX_TOKENS);
const wholeOrNull = (min: number, max = MAX_TOKENS) =>
  key(z.int().min(min).max(max).nullable(), `a whole number from ${min}, or null`, 'number', 'null').default(null);

const load = z.strictObject({
  dataset: choice('random', 'prefix', 'turns', 'file', 'trace').default('random'),
  num_prompts: count.default(100),
  request_rate: key(rate.nullable(), 'a number over 0, inf, or null', 'number', 'string', 'null').default(null),
  burstiness: key(rate, 'a number over 0, or inf', 'number', 'string').default(1),
  max_concurrency: wholeOrNull(1),
  num_warmups: integer(0, MAX_TOKENS).default(1),
  input_len: count.default(64),
  output_len: count.default(32),
  range_ratio: key(z.number().min(0).lt(1), 'a number from 0 to below 1', 'number').default(0),
  vocab_size: wholeOrNull(2),
  num_prefixes: count.default(4),
  prefix_len: count.default(256),
  num_turns: count.default(4),
  think_ms: atLeast(0, 'milliseconds from 0').default(0),
  file: key(z.string().min(1).nullable(), 'the path of a file, or null', 'string', 'null').default(null),
  scale: over0.default(1),
  time_scale: over0.default(1),
  endpoint: choice('completions', 'chat').default('completions'),
  prompts: key(z.enum(['tokens', 'text']).nullable(), 'tokens, text, or null', 'string', 'null').default(null),
  temperature: atLeast(0, 'a number ≥ 0 (0 = greedy)').default(0),
  ignore_eos: key(z.boolean().nullable(), 'true, false, or null', 'boolean', 'null').default(null),
  extra_body: key(z.record(z.string(), z.json()), 'a mapping: further fields of each request', 'mapping').default({}),
  timeout_s: key(z.number().gt(0).max(MAX_TIMEOUT_S), `seconds over 0, up to ${MAX_TIMEOUT_S}`, 'number').default(600),
  seed: wholeOrNull(0, 2 ** 32 - 1),
});

/** As a workload has it: keys are the options of `bench serve`, with `_` for `-`. */
export type LoadSettings = z.infer<typeof load>;

/** Everything has a default: a hundred random prompts at once. */
export const loadSchema = () => key(load.readonly(), 'a mapping of options of bench serve', 'mapping').prefault({});

/** What those of null are for a run: `seed` its own, `vocab_size` the model's. */
export interface LoadDefaults {
  readonly seed: number;
  readonly vocabSize: number;
}

/** The options of `bench serve`, without its address. Pure. */
export function loadArgs(load: LoadSettings, { seed, vocabSize }: LoadDefaults): string[] {
  const { extra_body: extra, ignore_eos: ignoreEos, ...options } = load;
  const given: Readonly<Record<string, number | string | null>> = {
    ...options,
    seed: options.seed ?? seed,
    vocab_size: options.vocab_size ?? vocabSize,
  };
  const args = Object.entries(given).flatMap(([name, value]) =>
    value === null ? [] : [`--${name.replaceAll('_', '-')}`, String(value)],
  );
  if (Object.keys(extra).length > 0) args.push('--extra-body', JSON.stringify(extra));
  if (ignoreEos !== null) args.push(ignoreEos ? '--ignore-eos' : '--no-ignore-eos');
  return args;
}

/** `maxLen`: what the model's context holds. @throws ConfigError for what is no load, or one that doesn't fit */
export function checkLoad(load: LoadSettings, maxLen: number): void {
  const fail = (name: string, why: string): never => {
    throw new ConfigError('INVALID_VALUE', `"workload.load.${name}" ${why}`, { key: `workload.load.${name}` });
  };
  const { dataset, file, endpoint, prompts } = load;
  const hasFile = dataset === 'file' || dataset === 'trace';
  if (hasFile && file === null) fail('file', `is null, but "dataset" is ${dataset}, which reads one; give its path`);
  if (!hasFile && file !== null) fail('file', `is given, but "dataset" is ${dataset}; leave one of them out`);
  if (prompts === 'tokens' && endpoint === 'chat')
    fail('prompts', `is tokens, but a chat takes text alone; set "endpoint" to completions`);
  const longest = longestOf(load);
  if (longest !== null && longest > maxLen)
    fail(
      'input_len',
      `and others make requests of ${longest} tokens, but "engine.max_model_len" is ${maxLen}; lower them`,
    );
}

/** Tokens of the longest request with its answer; null: a file says. */
function longestOf(load: LoadSettings): number | null {
  const { dataset, input_len: input, output_len: output, range_ratio: ratio } = load;
  const most = (mean: number): number => Math.ceil(mean * (1 + ratio));
  switch (dataset) {
    case 'random':
      return most(input) + most(output);
    case 'prefix':
      return load.prefix_len + most(input) + most(output);
    case 'turns':
      return load.num_turns * (most(input) + most(output));
    case 'file':
    case 'trace':
      return null;
  }
}
