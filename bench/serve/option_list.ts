/** The options of `expertwire bench serve` as they are given. */
import { benchParser } from '../base/options.js';
import { DATASETS } from './datasets/make_dataset.js';
import { METRICS } from './figures/figures.js';
import { ENDPOINTS } from './load/endpoint.js';

/** What yargs makes of a command line, unchecked but for types. */
export type GivenOptions = ReturnType<typeof givenOptions>;

/** Reads the arguments. @throws UsageError */
export function givenOptions(args: readonly string[]) {
  const text = (describe: string) => ({ type: 'string', describe, requiresArg: true }) as const;
  const count = (describe: string) => ({ type: 'number', describe, requiresArg: true }) as const;
  const number = (describe: string, usual: number) => ({ ...count(describe), default: usual }) as const;
  const rate = (describe: string, usual: string) => ({ ...text(describe), default: usual, coerce: rateOf }) as const;
  const what =
    'Open-loop load on any server of the OpenAI API, with the definitions of vllm bench serve. OPENAI_API_KEY is sent where it is set.';
  const [load, data, told] = ['Load:', 'Dataset:', 'Figures:'];
  return benchParser('serve', args, what)
    .option('url', { type: 'string', default: 'http://127.0.0.1:8000', describe: 'the server, without /v1' })
    .option('model', text('its name there [the first that the server lists]'))
    .option('endpoint', { choices: ENDPOINTS, default: 'completions' as const, describe: 'how to ask' })
    .option('request-rate', { ...rate('requests per second; inf: all at once', 'inf'), group: load })
    .option('burstiness', { ...rate('shape of the gamma distribution of the gaps; 1 = Poisson', '1'), group: load })
    .option('max-concurrency', { ...count('requests at a time, conversations with turns [no limit]'), group: load })
    .option('num-prompts', { ...number('requests, conversations with turns', 100), group: load })
    .option('num-warmups', {
      ...number('requests before, which count for nothing; one always shows that the server answers', 1),
      group: load,
    })
    .option('timeout-s', { ...number('of each request', 600), group: load })
    .option('seed', { ...number('of all that is drawn', 1), group: load })
    .option('temperature', { ...number('of sampling', 0), group: load })
    .option('ignore-eos', {
      type: 'boolean',
      describe: 'answers as long as asked for [yes; no with file]',
      group: load,
    })
    .option('extra-body', { ...text('JSON object: further fields of each request'), group: load })
    .option('dataset', { choices: DATASETS, default: 'random' as const, describe: 'what is asked', group: data })
    .option('prompts', {
      choices: ['tokens', 'text'] as const,
      describe: 'prompts as token ids or as text [tokens; text with chat]',
      group: data,
    })
    .option('input-len', { ...number('mean tokens of a prompt, or of what is said in a turn', 64), group: data })
    .option('output-len', { ...number('mean tokens of an answer', 32), group: data })
    .option('range-ratio', { ...number('lengths are drawn from mean × (1 ± this)', 0), group: data })
    .option('vocab-size', { ...number('token ids are drawn below it', 1024), group: data })
    .option('num-prefixes', { ...number('prefix: shared beginnings', 4), group: data })
    .option('prefix-len', { ...number('prefix: their tokens', 256), group: data })
    .option('num-turns', { ...number('turns: of each conversation', 4), group: data })
    .option('think-ms', { ...number('turns: mean time until the next turn', 0), group: data })
    .option('file', { ...text('file, trace: its path; .gz is unpacked'), group: data })
    .option('scale', { ...number('trace: one factor for all lengths', 1), group: data })
    .option('time-scale', { ...number('trace: a factor for the times', 1), group: data })
    .option('percentile-metrics', { ...text('latencies told'), default: METRICS.join(','), group: told })
    .option('metric-percentiles', { ...text('percentiles told'), default: '90,99', group: told })
    .option('goodput', { type: 'string', array: true, describe: 'targets: ttft:MS tpot:MS e2el:MS', group: told })
    .option('block-size', { ...number("tokens of a block of the server's prefix cache", 16), group: told })
    .option('json', { ...text('file for all figures'), group: told })
    .option('detailed', { type: 'boolean', default: false, describe: 'with --json: each request too', group: told })
    .option('plot', { ...text('.svg, .png or .html file with latencies and a timeline'), group: told })
    .parseSync();
}

/** 'inf' as vLLM has it. NaN for what is no number. */
const rateOf = (text: string): number => (/^inf(inity)?$/i.test(text) ? Infinity : Number(text));
