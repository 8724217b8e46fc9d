/** Options of `expertwire quantise`, and what they ask for. */
import type { Argv } from 'yargs';
import { FP8_CODING } from '../../rewrite/quantise/fp8_coding.js';
import { intCoding } from '../../rewrite/quantise/int_coding.js';
import { QUANTISED_PARTS, type QuantisedParts } from '../../rewrite/quantise/targets.js';
import type { WeightCoding } from '../../rewrite/quantise/weight_coding.js';
import { UsageError } from '../base/context.js';
import { wholeNumber } from '../base/numbers.js';
import { calibrationOptions, type CalibrationArgs } from './calibration.js';

/** Formats that checkpoints are written in. */
export const QUANTISE_FORMATS = ['int4', 'int8', 'fp8'] as const;

/** The options of `quantise` as yargs parses them, with their defaults. */
export interface QuantiseArgs extends CalibrationArgs {
  readonly dir: string;
  readonly out: string;
  readonly format: (typeof QUANTISE_FORMATS)[number];
  readonly asymmetric: boolean;
  readonly group?: number | undefined;
  readonly only: QuantisedParts;
  readonly ignore: readonly string[];
  readonly decode: boolean;
  readonly maxShardMib?: number | undefined;
  readonly json?: boolean | undefined;
}

/** Adds the folders and the options of `quantise` to a command line. */
export function quantiseOptions<T>(yargs: Argv<T>): Argv<T & QuantiseArgs> {
  const [format, parts] = ['Format:', 'Modules:'];
  return calibrationOptions(yargs)
    .positional('dir', { type: 'string', demandOption: true, describe: 'model folder, or ORG/NAME that was pulled' })
    .positional('out', { type: 'string', demandOption: true, describe: 'folder to write: new or empty' })
    .option('format', {
      choices: QUANTISE_FORMATS,
      demandOption: true,
      describe: 'what weights are rounded to',
      group: format,
    })
    .option('asymmetric', { type: 'boolean', default: false, describe: 'int4 with zero points', group: format })
    .option('group', { type: 'number', describe: 'columns that share a scale, of int4 and int8 (32)', group: format })
    .option('only', {
      choices: QUANTISED_PARTS,
      default: 'experts' as const,
      describe: 'routed experts, or all projections; never routers, embedding, head, norms',
      group: parts,
    })
    .option('ignore', {
      type: 'string',
      array: true,
      nargs: 1,
      default: [],
      describe: 'modules that stay: names, parts of names, with * or as re:EXPRESSION; repeatable',
      group: parts,
    })
    .option('decode', { type: 'boolean', default: false, describe: 'take weights that are codes already' })
    .option('max-shard-mib', { type: 'number', describe: 'MiB of tensors per file (4096)' })
    .option('json', { type: 'boolean', describe: 'one JSON object' });
}

/** @param scaleDtype what scales of four bits are stored as @throws UsageError for what doesn't go together */
export function codingOf(
  { format, asymmetric, group }: Pick<QuantiseArgs, 'format' | 'asymmetric' | 'group'>,
  scaleDtype: 'BF16' | 'F32',
): WeightCoding {
  if (asymmetric && format !== 'int4') {
    throw new UsageError(`--asymmetric is of int4, and --format is ${format}; leave one of them out`);
  }
  if (format === 'fp8') {
    if (group === undefined) return FP8_CODING;
    throw new UsageError(`--group ${group}: fp8 has blocks of 128 rows and columns; leave it out`);
  }
  const columns = wholeNumber('--group', group, 8) ?? DEFAULT_GROUP;
  if (columns % 8 !== 0) throw new UsageError(`--group ${columns} is no multiple of 8; give 32, 64 or 128`);
  return intCoding({ type: asymmetric ? 'uint4' : format, group: columns, scaleDtype });
}

/** What kernels keep codes in: other groups are whole numbers of these, or become floats in memory. */
const DEFAULT_GROUP = 32;

/** @throws UsageError for options of a text where none is read */
export function checkUnread(args: QuantiseArgs): void {
  if (args.calibration !== undefined) return;
  const { calibrationTokens, calibrationPiece, config, ranks, plugin, set } = args;
  const given = Object.entries({
    ...{ 'calibration-tokens': calibrationTokens, 'calibration-piece': calibrationPiece },
    ...{ config, ranks, plugin, set },
  }).find(([, value]) => value !== undefined);
  if (given !== undefined)
    throw new UsageError(`--${given[0]} is of who reads a text; give --calibration FILE, or leave it out`);
}
