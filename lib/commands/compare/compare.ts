/** `expertwire compare`: how far one model, or configuration, is from another on a text. One engine runs after the other. */
import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { comparedModel } from '../../compare/expert_origins.js';
import { comparisonOf, type ComparedSide, type ComparisonResult } from '../../compare/comparison.js';
import { planComparison } from '../../compare/comparison_plan.js';
import { TextComparison } from '../../compare/text_comparison.js';
import type { Piece, TextReading } from '../../compare/text_pass.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { Engine } from '../../head/engine.js';
import { openModel, type OpenedModel } from '../../head/opened_model.js';
import { findShards } from '../../weights/shards.js';
import { closing } from '../base/closing.js';
import type { CommandContext } from '../base/context.js';
import { wholeNumber } from '../base/numbers.js';
import { checkOutputs } from '../base/output_file.js';
import { ProgressBar } from '../base/progress_bar.js';
import { withRanks } from '../engine/engine_start.js';
import { withEngine } from '../engine/with_engine.js';
import { checkCompareFile, writeComparison } from './comparison_file.js';
import { comparisonJson, comparisonText } from './comparison_text.js';
import { comparedPieces } from './compared_text.js';
import { sideConfigs, sideNames, type CompareArgs } from './compare_options.js';

/** Enough for a mean, and few beside the tokens of a text. */
const LENS_TOKENS = 256;

/** Prints a table, or with `--json` one object. @throws UsageError, ConfigError, OutputError, CompareError; what engines throw */
export async function compare(args: CompareArgs, context: CommandContext): Promise<void> {
  checkCompareFile(args.output);
  const files = Object.fromEntries((args.text ?? []).map((file, i) => [`--text (${i + 1})`, file]));
  await checkOutputs({ '--output': args.output }, files);
  const configs = await sideConfigs(args, context.env);
  const result = await compared(args, configs, context);
  if (args.output !== undefined) await writeComparison(args.output, result);
  context.stdout.write(args.json === true ? comparisonJson(result) : comparisonText(result));
}

async function compared(
  args: CompareArgs,
  configs: readonly [ExpertwireConfig, ExpertwireConfig],
  context: CommandContext,
): Promise<ComparisonResult> {
  const numLensTokens = wholeNumber('--lens-tokens', args.lensTokens, 0) ?? LENS_TOKENS;
  const models = [await openModel(configs[0]), await openModel(configs[1])] as const;
  const pieces = await comparedPieces(args, models);
  const [a, b] = await Promise.all([0, 1].map((i) => comparedModel(configs[i]!.model, models[i]!.spec)));
  const maxToldBytes = Math.min(...models.map(({ limits }) => limits.maxToldBytes));
  const plan = planComparison(a!, b!, pieces, { numTokens: numLensTokens, maxToldBytes });
  const comparison = await TextComparison.create(plan, pieces, tmpdir());
  return closing(
    () => comparison.close(),
    async () => {
      const sides: ComparedSide[] = [];
      for (const [i, name] of sideNames(args).entries()) {
        const side = { name, config: configs[i]!, model: models[i]! };
        sides.push(await ranSide(side, pieces, comparison, i === 0 ? 'A' : 'B', context));
      }
      return comparisonOf([sides[0]!, sides[1]!], comparison, plan, models[0].spec);
    },
  );
}

interface Side {
  readonly name: string;
  readonly config: ExpertwireConfig;
  readonly model: OpenedModel;
}

async function ranSide(
  { name, config, model }: Side,
  pieces: readonly Piece[],
  comparison: TextComparison,
  letter: 'A' | 'B',
  context: CommandContext,
): Promise<ComparedSide> {
  const done: Pick<ComparedSide, 'reading' | 'residentBytes'>[] = [];
  await withRanks(config, (start) =>
    withEngine({}, start, model, context, async (engine) => {
      const reading = await read(engine, pieces, comparison, letter, context);
      const { ranks } = engine.stats();
      done.push({ reading, residentBytes: ranks.reduce((sum, rank) => sum + rank.kernelBytes + rank.tensorBytes, 0) });
    }),
  );
  return { name, ...done[0]!, checkpointBytes: await checkpointBytes(config.model) };
}

async function read(
  engine: Engine,
  pieces: readonly Piece[],
  comparison: TextComparison,
  letter: 'A' | 'B',
  { stderr, signal }: CommandContext,
): Promise<TextReading> {
  const numTokens = pieces.reduce((sum, { length }) => sum + length, 0);
  const bar = new ProgressBar(stderr, `${letter} reads ${numTokens} tokens`);
  try {
    const options = { signal, onProgress: (numDone: number) => bar.update(numDone / numTokens) };
    return await comparison[letter === 'A' ? 'readA' : 'readB'](engine, pieces, options);
  } finally {
    bar.close();
  }
}

/** Of the files with weights. */
async function checkpointBytes(dir: string): Promise<number> {
  const { paths } = await findShards(dir);
  const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}
