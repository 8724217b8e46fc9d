/** Options of `expertwire prune`. */
import type { Argv } from 'yargs';
import { CRITERIA, type Criterion } from '../../prune/criteria.js';
import { calibrationOptions, type CalibrationArgs } from './calibration.js';

/** The options of `prune` as yargs parses them, with their defaults. */
export interface PruneArgs extends CalibrationArgs {
  readonly dir: string;
  readonly out: string;
  readonly criterion: Criterion;
  readonly keep: number;
  readonly seed: number;
  readonly merge?: boolean | undefined;
  readonly maxShardMib?: number | undefined;
  readonly json?: boolean | undefined;
}

/** Adds the folders and the options of `prune` to a command line. */
export function pruneOptions<T>(yargs: Argv<T>): Argv<T & PruneArgs> {
  return calibrationOptions(
    yargs
      .positional('dir', { type: 'string', demandOption: true, describe: 'model folder, or ORG/NAME that was pulled' })
      .positional('out', { type: 'string', demandOption: true, describe: 'folder to write: new or empty' })
      .option('criterion', {
        choices: CRITERIA,
        default: 'reap' as const,
        describe: 'which experts stay: by weight and output (reap), by how often they are chosen, or any',
      })
      .option('keep', { type: 'number', default: 0.5, describe: 'of each layer: below 1 a share, from 1 a number' })
      .option('seed', { type: 'number', default: 0, describe: 'of criterion random' })
      .option('merge', {
        type: 'boolean',
        describe: 'the others are merged into the kept one whose router logits are most like theirs',
      })
      .option('max-shard-mib', { type: 'number', describe: 'MiB of tensors per file (4096)' })
      .option('json', { type: 'boolean', describe: 'one JSON object' }),
  );
}
