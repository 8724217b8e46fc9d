import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seedNumber, wholeNumber, wholeNumbers } from '../../lib/commands/base/numbers.js';
import { UsageError } from '../../lib/commands/base/context.js';
import { CODE_FORMATS } from '../../lib/model/random_codes.js';
import { benchParser } from '../base/options.js';

/** What weights are stored as: floats, or codes beside bfloat16. */
export const FORMATS = ['BF16', 'F32', ...CODE_FORMATS] as const;
/** One of them. */
export type FormatName = (typeof FORMATS)[number];

/** What is measured. */
export interface FormatsOptions {
  /** Where models lie, and stay for the next run. */
  readonly dir: string;
  readonly formats: readonly FormatName[];
  readonly ranks: readonly number[];
  readonly layers: number;
  readonly hidden: number;
  readonly experts: number;
  readonly intermediate: number;
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly rounds: number;
  readonly seed: number;
  readonly set: readonly string[];
  readonly json: boolean;
}

/** @throws UsageError */
export function parseOptions(args: readonly string[]): FormatsOptions {
  const what = 'Per stored format: loading beside a plain read of the same files, bytes read, memory, tokens/s.';
  const parsed = benchParser('formats', args, what)
    .option('dir', {
      type: 'string',
      default: join(tmpdir(), 'expertwire-formats'),
      defaultDescription: 'expertwire-formats in the folder for temporary files',
      describe: 'folder of the random models, which stay for the next run',
    })
    .option('formats', { type: 'string', default: FORMATS.join(','), describe: 'stored formats' })
    .option('ranks', { type: 'string', default: '1,2,4', describe: 'numbers of ranks' })
    .option('layers', { type: 'number', default: 16, describe: 'layers; 16 are 2 GB of BF16' })
    .option('hidden', { type: 'number', default: 1024, describe: 'hidden size' })
    .option('experts', { type: 'number', default: 32, describe: 'experts of a layer, of which a token needs 4' })
    .option('intermediate', { type: 'number', default: 640, describe: "an expert's intermediate size" })
    .option('prompt-tokens', { type: 'number', default: 64, describe: 'tokens of the prompt' })
    .option('new-tokens', { type: 'number', default: 32, describe: 'tokens to decode' })
    .option('rounds', { type: 'number', default: 3, describe: 'jobs per format and number of ranks; medians count' })
    .option('seed', { type: 'number', default: 0, describe: 'of weights and prompt' })
    .option('set', { type: 'string', array: true, nargs: 1, default: [], describe: 'any configuration key' })
    .option('json', { type: 'boolean', default: false, describe: 'one JSON object' })
    .parseSync();
  const { layers, hidden, experts, intermediate, promptTokens, newTokens, rounds } = parsed;
  const counts = { layers, hidden, experts, intermediate, rounds, 'prompt-tokens': promptTokens };
  for (const [name, value] of Object.entries(counts)) wholeNumber(`--${name}`, value, 1);
  wholeNumber('--new-tokens', newTokens, 2);
  seedNumber('--seed', parsed.seed);
  return { ...parsed, formats: formatsOf(parsed.formats), ranks: wholeNumbers('--ranks', parsed.ranks) };
}

function formatsOf(text: string): FormatName[] {
  return text.split(',').map((name) => {
    const format = FORMATS.find((each) => each === name.trim().toUpperCase());
    if (format !== undefined) return format;
    throw new UsageError(`--formats: there is no '${name}'; there are: ${FORMATS.join(', ')}`);
  });
}
