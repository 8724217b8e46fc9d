/** `expertwire quantise`: a checkpoint of few bits made of another one, in a form that other readers load. */
import { basename } from 'node:path';
import { loadConfig } from '../../config/load.js';
import { bytes, table } from '../../metrics/charts.js';
import { RewriteError } from '../../rewrite/errors.js';
import { checkNumbers } from '../../rewrite/quantise/new_weights.js';
import { quantiseCheckpoint, type QuantiseOptions, type QuantiseReport } from '../../rewrite/quantise/quantise.js';
import { storedScales, targetsOf } from '../../rewrite/quantise/targets.js';
import type { FoundScaling } from '../../rewrite/scaling/layer_search.js';
import { openSource, type RewriteSource } from '../../rewrite/source.js';
import { WeightError } from '../../weights/errors.js';
import { checkNewFolder } from '../../weights/new_folder.js';
import { UsageError, type CommandContext } from '../base/context.js';
import { wholeNumber } from '../base/numbers.js';
import { ProgressBar } from '../base/progress_bar.js';
import { checkUnread, codingOf, type QuantiseArgs } from './quantise_options.js';
import { findScalings } from './scaling.js';

/** Writes the checkpoint and prints what it is and what rounding changed. @throws UsageError, WeightError, RewriteError, ModelError; the signal's reason */
export async function quantise(args: QuantiseArgs, context: CommandContext): Promise<void> {
  const { out, only, ignore, decode: mayDecode } = args;
  const { stdout, stderr, signal, env } = context;
  codingOf(args, 'BF16'); // mistakes of the line come before those of the folder
  const maxShardMib = wholeNumber('--max-shard-mib', args.maxShardMib, 1);
  const { model } = await loadConfig({ flags: { model: args.dir }, env });
  const source = await openSource(model);
  try {
    const coding = codingOf(args, storedScales(source));
    const asked = { coding, only, ignore, mayDecode, signal };
    const found = await scalingsFor(args, source, asked, context).catch(asMistake);
    const report = await write(out, source, { ...asked, ...scalingOf(args, found) }, maxShardMib, stderr);
    stdout.write(
      args.json === true ? `${JSON.stringify({ out, ...figuresOf(report, found) })}\n` : textOf(out, report, found),
    );
  } finally {
    await source.close();
  }
}

/** Null: no text is read. What can't be written is refused before one is. */
async function scalingsFor(
  args: QuantiseArgs,
  source: RewriteSource,
  { coding, only, ignore, mayDecode, signal }: QuantiseOptions,
  context: CommandContext,
): Promise<FoundScaling[] | null> {
  checkUnread(args);
  if (args.calibration === undefined) return null;
  await checkNewFolder(args.out);
  const targets = targetsOf(source, { coding, only, ignore });
  if (!mayDecode) checkNumbers(source, targets);
  const names = new Set(targets.targets.map(({ name }) => name));
  return findScalings(args, { source, coding, isTarget: (name) => names.has(name), signal }, context);
}

function scalingOf({ calibration }: QuantiseArgs, found: readonly FoundScaling[] | null): Partial<QuantiseOptions> {
  if (found === null) return {};
  return { scaling: found.map(({ scaling }) => scaling), notes: { calibration: basename(calibration!) } };
}

async function write(
  out: string,
  source: RewriteSource,
  options: QuantiseOptions,
  maxShardMib: number | undefined,
  stderr: CommandContext['stderr'],
): Promise<QuantiseReport> {
  const progress = new ProgressBar(stderr, 'quantising');
  return quantiseCheckpoint(source, out, {
    ...options,
    maxShardBytes: maxShardMib === undefined ? undefined : maxShardMib * 2 ** 20,
    onProgress: (doneBytes, allBytes) => progress.update(doneBytes / allBytes),
  })
    .catch(asMistake)
    .finally(() => progress.close());
}

function figuresOf(report: QuantiseReport, found: readonly FoundScaling[] | null): object {
  const { label, totalBytes, sourceBytes, files, numMatrices, unfit, dropped } = report;
  const layers = report.layers.map(({ layer, numMatrices: matrices, weightError }) => {
    const its = found?.find(({ scaling }) => scaling.layer === layer);
    const scaled = its && { share: its.share, output_error: its.errorAfter, output_error_unscaled: its.errorBefore };
    return { layer, matrices, weight_error: weightError, ...scaled };
  });
  return {
    ...{ format: label, bytes: totalBytes, source_bytes: sourceBytes, files, matrices: numMatrices },
    ...{ layers, unfit, dropped },
  };
}

function textOf(out: string, report: QuantiseReport, found: readonly FoundScaling[] | null): string {
  const { label, totalBytes, sourceBytes, numMatrices, layers, unfit, dropped } = report;
  const rows = layers.map(({ layer, numMatrices: count, weightError }) => {
    const its = found?.find(({ scaling }) => scaling.layer === layer);
    const scaled =
      its === undefined ? ['', '', ''] : [its.share.toFixed(2), percent(its.errorBefore), percent(its.errorAfter)];
    return [`${layer}`, `${count}`, percent(weightError), ...(found === null ? [] : scaled)];
  });
  const more = found === null ? [] : ['share', 'outputs of experts by', 'scaled'];
  const size = percent(totalBytes / sourceBytes);
  return [
    `${out}: ${numMatrices} matrices as ${label}; ${bytes(totalBytes)}, ${size} of ${bytes(sourceBytes)}`,
    table([['layer', 'matrices', 'weights changed by', ...more], ...rows]),
    ...(unfit.length === 0 ? [] : [`left as they are, for their columns are no whole groups: ${named(unfit)}`]),
    ...(dropped.length === 0 ? [] : [`left out, for nothing here needs them: ${named(dropped)}`]),
    '',
  ].join('\n');
}

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

const named = (names: readonly string[]): string =>
  names.length <= 4 ? names.join(', ') : `${names.slice(0, 3).join(', ')} and ${names.length - 3} more`;

function asMistake(error: unknown): never {
  throw isMistake(error) ? new UsageError(error.message) : error;
}

/** Another line mends it. */
const isMistake = (error: unknown): error is Error =>
  (error instanceof RewriteError && error.code !== 'NOT_FINITE') ||
  (error instanceof WeightError && error.code === 'FOLDER_NOT_EMPTY');
