/** Options of `expertwire compare`, and the two configurations that they make. */
import type { Argv } from 'yargs';
import { loadConfig } from '../../config/load.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { Environment } from '../../hub/cache/hub_cache.js';

/** The options of `compare` as yargs parses them. */
export interface CompareArgs {
  readonly a: string;
  readonly b: string;
  readonly text?: readonly string[] | undefined;
  readonly ids?: string | undefined;
  readonly maxTokens?: number | undefined;
  readonly pieceTokens?: number | undefined;
  readonly lensTokens?: number | undefined;
  readonly ranks?: number | undefined;
  readonly set?: readonly string[] | undefined;
  readonly setA?: readonly string[] | undefined;
  readonly setB?: readonly string[] | undefined;
  readonly output?: string | undefined;
  readonly json?: boolean | undefined;
}

const SIDE = 'model folder, ORG/NAME that was pulled, or a configuration (.yaml)';
const LIST = { type: 'string', array: true, nargs: 1, group: 'Job:' } as const;

/** Adds the options of `compare` to a command line. */
export function compareOptions<T>(yargs: Argv<T>): Argv<T & CompareArgs> {
  return yargs
    .positional('a', { type: 'string', demandOption: true, describe: `what is exact: ${SIDE}` })
    .positional('b', { type: 'string', demandOption: true, describe: `what is held against it: ${SIDE}` })
    .option('text', { ...LIST, group: 'Text:', describe: 'a file with text that both read; given once for each' })
    .option('ids', { type: 'string', describe: 'the text as token ids: 5,17,3', group: 'Text:' })
    .conflicts({ text: 'ids' })
    .option('max-tokens', { type: 'number', describe: 'of each file so many tokens (all)', group: 'Text:' })
    .option('piece-tokens', {
      type: 'number',
      describe: 'a text is read in pieces of so many tokens, each by itself (what both contexts have room for)',
      group: 'Text:',
    })
    .option('lens-tokens', {
      type: 'number',
      describe: 'about so many tokens, drawn from all, of whose states the head makes logits behind each layer (256)',
      group: 'Text:',
    })
    .option('ranks', { type: 'number', describe: 'rank processes of each (1)', group: 'Job:' })
    .option('set', { ...LIST, describe: 'any configuration key of both: --set engine.block_size=16' })
    .option('set-a', { ...LIST, describe: 'of A: --set-a experts.resident=f32' })
    .option('set-b', { ...LIST, describe: 'of B: --set-b experts.resident=int8' })
    .option('output', { type: 'string', describe: 'picture or table: .svg, .png, .html or .csv', group: 'Output:' })
    .option('json', { type: 'boolean', describe: 'one JSON object', group: 'Output:' });
}

/** A and B as they run. @throws ConfigError */
export async function sideConfigs(
  { a, b, ranks, set = [], setA = [], setB = [] }: CompareArgs,
  env: Environment,
): Promise<[ExpertwireConfig, ExpertwireConfig]> {
  const configOf = (side: string, own: readonly string[]): Promise<ExpertwireConfig> => {
    const isFile = /\.ya?ml$/.test(side);
    const flags = { ...(!isFile && { model: side }), parallel: { ranks } };
    return loadConfig({ ...(isFile && { file: side }), flags, overrides: [...set, ...own], env });
  };
  return [await configOf(a, setA), await configOf(b, setB)];
}

/** What the two are called: as they were given, with what changes each. */
export const sideNames = ({ a, b, setA = [], setB = [] }: CompareArgs): [string, string] => [
  [a, ...setA].join(' '),
  [b, ...setB].join(' '),
];
