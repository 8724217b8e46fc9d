/** `expertwire quantise`: a checkpoint of few bits made of another one, in a form that other readers load. */
import { loadConfig } from '../../config/load.js';
import { bytes, table } from '../../metrics/charts.js';
import { RewriteError } from '../../rewrite/errors.js';
import { quantiseCheckpoint, type QuantiseReport } from '../../rewrite/quantise/quantise.js';
import { storedScales } from '../../rewrite/quantise/targets.js';
import { openSource } from '../../rewrite/source.js';
import { WeightError } from '../../weights/errors.js';
import { UsageError, type CommandContext } from '../base/context.js';
import { wholeNumber } from '../base/numbers.js';
import { ProgressBar } from '../base/progress_bar.js';
import { codingOf, type QuantiseArgs } from './quantise_options.js';

/** Writes the checkpoint and prints what it is and what rounding changed. @throws UsageError, WeightError, RewriteError, ModelError; the signal's reason */
export async function quantise(args: QuantiseArgs, context: CommandContext): Promise<void> {
  const { out, only, ignore, decode: mayDecode } = args;
  const { stdout, stderr, signal, env } = context;
  codingOf(args, 'BF16'); // mistakes of the line come before those of the folder
  const maxShardMib = wholeNumber('--max-shard-mib', args.maxShardMib, 1);
  const { model } = await loadConfig({ flags: { model: args.dir }, env });
  const source = await openSource(model);
  const progress = new ProgressBar(stderr, 'quantising');
  try {
    const coding = codingOf(args, storedScales(source));
    const report = await quantiseCheckpoint(source, out, {
      ...{ coding, only, ignore, mayDecode, signal },
      maxShardBytes: maxShardMib === undefined ? undefined : maxShardMib * 2 ** 20,
      onProgress: (doneBytes, allBytes) => progress.update(doneBytes / allBytes),
    }).catch(asMistake);
    progress.close();
    stdout.write(args.json === true ? `${JSON.stringify({ out, ...figuresOf(report) })}\n` : textOf(out, report));
  } finally {
    progress.close();
    await source.close();
  }
}

const figuresOf = ({ label, totalBytes, sourceBytes, files, numMatrices, layers, unfit, dropped }: QuantiseReport) => ({
  ...{ format: label, bytes: totalBytes, source_bytes: sourceBytes, files, matrices: numMatrices },
  layers: layers.map(({ layer, numMatrices: matrices, weightError }) => ({
    layer,
    matrices,
    weight_error: weightError,
  })),
  ...{ unfit, dropped },
});

function textOf(out: string, report: QuantiseReport): string {
  const { label, totalBytes, sourceBytes, numMatrices, layers, unfit, dropped } = report;
  const rows = layers.map(({ layer, numMatrices: count, weightError }) => [
    `${layer}`,
    `${count}`,
    percent(weightError),
  ]);
  const share = percent(totalBytes / sourceBytes);
  return [
    `${out}: ${numMatrices} matrices as ${label}; ${bytes(totalBytes)}, ${share} of ${bytes(sourceBytes)}`,
    table([['layer', 'matrices', 'weights changed by'], ...rows]),
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
