/** Text that a model reads while somebody watches it: what pruning and quantising decide by. */
import { readFile } from 'node:fs/promises';
import type { Argv } from 'yargs';
import { causeText, textOf } from '../../../base/foreign_text.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { Engine } from '../../head/engine.js';
import { openModel, type OpenedModel } from '../../head/opened_model.js';
import type { Environment } from '../../hub/cache/hub_cache.js';
import type { Hook } from '../../protocol/hook.js';
import { mostTokensOf } from '../../protocol/limits.js';
import { UsageError, type CommandContext } from '../base/context.js';
import { wholeNumber } from '../base/numbers.js';
import { ProgressBar } from '../base/progress_bar.js';
import { configOf, type EngineArgs } from '../engine/engine_options.js';
import { withRanks } from '../engine/engine_start.js';
import { withEngine } from '../engine/with_engine.js';

/** The options of {@link calibrationOptions} as yargs parses them. */
export interface CalibrationArgs extends Pick<EngineArgs, 'config' | 'ranks' | 'plugin' | 'set'> {
  readonly calibration?: string | undefined;
  readonly calibrationTokens?: number | undefined;
  readonly calibrationPiece?: number | undefined;
}

/** Tokens of a file that are read where nobody says how many, and of a piece of them. */
const DEFAULTS = { tokens: 16_384, piece: 512 } as const;

/** Pieces that are read beside each other: each may keep tables of its own until its turn comes. */
const AT_ONCE = 8;

/** Adds the options of a command that has a model read a text, and those of who reads it. */
export function calibrationOptions<T>(yargs: Argv<T>): Argv<T & CalibrationArgs> {
  const group = 'Calibration:';
  return yargs
    .option('calibration', { type: 'string', describe: 'a file with text that the model reads', group })
    .option('calibration-tokens', {
      type: 'number',
      describe: `how many of its first tokens (${DEFAULTS.tokens})`,
      group,
    })
    .option('calibration-piece', {
      type: 'number',
      describe: `tokens that see each other (${DEFAULTS.piece})`,
      group,
    })
    .option('config', { type: 'string', describe: 'YAML configuration of who reads the text', group })
    .option('ranks', { type: 'number', describe: 'rank processes that read it (1)', group })
    .option('plugin', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'module that brings a gate, …; given once for each',
      group,
    })
    .option('set', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'any configuration key: --set comm.transport=threads',
      group,
    });
}

/** Sums are the same to the last bit, whatever the ranks, unless somebody wants otherwise. @throws ConfigError */
export const calibrationConfig = (
  args: CalibrationArgs & { readonly dir: string },
  env: Environment,
): Promise<ExpertwireConfig> => configOf({ ...args, model: args.dir }, env, {}, { comm: { reduce: 'source' } });

/** Opens the model in an engine, with the pieces of the text. @throws as `withEngine`, {@link calibrationPieces} */
export async function withReader(
  args: CalibrationArgs,
  config: ExpertwireConfig,
  context: CommandContext,
  use: (engine: Engine, pieces: readonly (readonly number[])[], model: OpenedModel) => Promise<void>,
): Promise<void> {
  await withRanks(config, async (start) => {
    const model = await openModel(config);
    const pieces = await calibrationPieces(args, model, config.model);
    const inputs = { '--calibration': args.calibration };
    await withEngine({}, start, model, context, (engine) => use(engine, pieces, model), { inputs });
  });
}

/** Pieces of token ids, each of at least two. @throws UsageError where there is no file, tokenizer or text; TokenizerError */
export async function calibrationPieces(
  args: CalibrationArgs,
  { tokenizer, limits }: Pick<OpenedModel, 'tokenizer' | 'limits'>,
  model: string,
): Promise<number[][]> {
  const { calibration: file } = args;
  const most = wholeNumber('--calibration-tokens', args.calibrationTokens, 2) ?? DEFAULTS.tokens;
  const piece = wholeNumber('--calibration-piece', args.calibrationPiece, 2) ?? DEFAULTS.piece;
  if (file === undefined) throw new UsageError('no text to calibrate with; give --calibration FILE');
  if (tokenizer === undefined) throw new UsageError(`${model} has no tokenizer, which --calibration needs; add one`);
  const tokenIds = tokenizer.encode(await textIn(file)).slice(0, most);
  const size = Math.min(piece, mostTokensOf(limits));
  const pieces = Array.from({ length: Math.ceil(tokenIds.length / size) }, (_, i) =>
    tokenIds.slice(i * size, (i + 1) * size),
  ).filter(({ length }) => length >= 2);
  if (pieces.length > 0) return pieces;
  throw new UsageError(`--calibration ${file} has ${tokenIds.length} tokens; give a text of at least 2`);
}

/** Who watches a piece: told of it by `hook`, and `done` in the order of pieces, so that sums are the same whatever ran beside. */
export interface PieceWatch {
  readonly hook: Hook;
  readonly done: () => void;
}

/** Has the model read all pieces, each watched by its own. @throws EngineError as `Engine.score`, what hooks throw, and the signal's reason */
export async function calibrate(
  engine: Pick<Engine, 'score'>,
  pieces: readonly (readonly number[])[],
  watch: () => PieceWatch,
  { stderr, signal }: Pick<CommandContext, 'stderr' | 'signal'>,
): Promise<void> {
  const progress = new ProgressBar(stderr, 'calibrating');
  const stop = new AbortController();
  const ending = AbortSignal.any([signal, stop.signal]);
  const running: Promise<PieceWatch>[] = [];
  const read = async (tokenIds: readonly number[]): Promise<PieceWatch> => {
    const own = watch();
    await engine.score({ tokenIds, hooks: [own.hook] }, ending);
    return own;
  };
  try {
    for (let i = 0; i < pieces.length + AT_ONCE; i++) {
      const oldest = i < AT_ONCE ? undefined : running.shift();
      if (oldest !== undefined) {
        (await oldest).done();
        progress.update((i - AT_ONCE + 1) / pieces.length);
      }
      if (i < pieces.length) {
        const reading = read(pieces[i]!);
        reading.catch(() => undefined); // told of in its turn, which may be later than that it fails
        running.push(reading);
      }
    }
  } catch (error) {
    stop.abort(error);
    await Promise.allSettled(running);
    throw error;
  } finally {
    progress.close();
  }
}

async function textIn(file: string): Promise<string> {
  try {
    return textOf(await readFile(file));
  } catch (cause) {
    throw new UsageError(`--calibration ${file} can't be read (${causeText(cause)})`);
  }
}
