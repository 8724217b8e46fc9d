/** `expertwire prune`: a checkpoint with fewer experts, those that a text needs least taken out. */
import type { ExpertwireConfig } from '../../config/schema.js';
import type { OpenedModel } from '../../head/opened_model.js';
import { bytes, table } from '../../metrics/charts.js';
import { countsText } from '../../../experts/placement/expert_counts.js';
import { expertCountsOf, moeLayersOf, type ModelSpec } from '../../model/spec/spec.js';
import { scoresOf, WATCHED } from '../../prune/criteria.js';
import { addTally, emptyTally, tallyingHook, type ExpertTally, type Watched } from '../../prune/expert_watch.js';
import { keptExperts, numKeptOf, type KeptExperts } from '../../prune/kept_experts.js';
import { mergeGroups, type MergeGroup } from '../../prune/merge_groups.js';
import { pruning, type Pruned } from '../../prune/prune_checkpoint.js';
import { rewriteCheckpoint } from '../../rewrite/rewrite.js';
import { openSource, type RewriteSource } from '../../rewrite/source.js';
import type { WrittenFiles } from '../../weights/checkpoint_writer.js';
import { checkNewFolder } from '../../weights/new_folder.js';
import { closing } from '../base/closing.js';
import { UsageError, type CommandContext } from '../base/context.js';
import { seedNumber, wholeNumber } from '../base/numbers.js';
import { ProgressBar } from '../base/progress_bar.js';
import { calibrate, calibrationConfig, withReader } from './calibration.js';
import type { PruneArgs } from './prune_options.js';

/** Reads the text, chooses, writes, and prints what stayed. @throws UsageError; ConfigError; WeightError and ModelError as the folder; EngineError */
export async function prune(args: PruneArgs, context: CommandContext): Promise<void> {
  seedNumber('--seed', args.seed);
  const maxShardMib = wholeNumber('--max-shard-mib', args.maxShardMib, 1);
  const config = await calibrationConfig(args, context.env);
  const source = await openSource(config.model);
  await closing(
    () => source.close(),
    async () => {
      const { gate } = source.spec.moe;
      checkAlike(source.spec);
      const numKept = numKeptOf(args.keep, gate);
      if (typeof numKept === 'string') throw new UsageError(`--keep ${args.keep}: ${numKept}`);
      await checkNewFolder(args.out);
      const shape = { numLayers: moeLayersOf(source.spec).length, numExperts: gate.numExperts, seed: args.seed };
      const watched = watchedFor(args);
      const tally = watched && (await tallyOf(args, config, watched, context));
      const kept = scoresOf(args.criterion, tally, shape).map((scores_E) => keptExperts(scores_E, numKept, gate));
      const groups = args.merge === true ? groupsOf(kept, tally!) : undefined;
      const written = await write(args.out, source, { criterion: args.criterion, kept, groups }, maxShardMib, context);
      report({ ...args, dir: config.model }, { source, kept, tally, ...written }, context);
    },
  );
}

/** @throws UsageError: as many are kept in each layer as in the others */
function checkAlike(spec: ModelSpec): void {
  const counts = expertCountsOf(spec);
  if (counts.every((count) => count === counts[0])) return;
  throw new UsageError(
    `the layers have ${countsText(counts)} experts, and prune keeps as many in each; give a model whose layers have as many`,
  );
}

/** Null: no text has to be read. */
function watchedFor({ criterion, merge = false, calibration }: PruneArgs): Watched | null {
  const own = WATCHED[criterion];
  if (merge) return { ...own, logits: true };
  return calibration === undefined ? own : (own ?? {});
}

const groupsOf = (kept: KeptExperts, { counts_LE, products_LEE }: ExpertTally): MergeGroup[][] =>
  kept.map((experts, l) => mergeGroups(experts, counts_LE[l]!, products_LEE[l]!));

/** What experts did for the tokens of the text. */
async function tallyOf(
  args: PruneArgs,
  config: ExpertwireConfig,
  watched: Watched,
  context: CommandContext,
): Promise<ExpertTally> {
  let found: ExpertTally | null = null;
  await withReader(args, config, context, async (engine, pieces, model) => {
    found = await readTally(engine, pieces, model, watched, context);
  });
  return found!;
}

async function readTally(
  engine: Parameters<typeof calibrate>[0],
  pieces: readonly (readonly number[])[],
  { spec }: Pick<OpenedModel, 'spec'>,
  watched: Watched,
  context: CommandContext,
): Promise<ExpertTally> {
  const layers = moeLayersOf(spec);
  const empty = (): ExpertTally => emptyTally(layers, spec.moe.gate.numExperts, watched);
  const all = empty();
  const watch = () => {
    const own = empty();
    return { hook: tallyingHook(own, layers, watched), done: () => addTally(all, own) };
  };
  await calibrate(engine, pieces, watch, context);
  return all;
}

async function write(
  out: string,
  source: RewriteSource,
  chosen: Pruned,
  maxShardMib: number | undefined,
  { stderr, signal }: CommandContext,
): Promise<WrittenFiles & { readonly hasPredictors: boolean }> {
  const rewriting = pruning(source, chosen);
  const progress = new ProgressBar(stderr, 'writing');
  const options = {
    signal,
    ...(maxShardMib !== undefined && { maxShardBytes: maxShardMib * 2 ** 20 }),
    onProgress: (doneBytes: number, allBytes: number) => progress.update(doneBytes / allBytes),
  };
  const files = await rewriteCheckpoint(source, out, rewriting, options).finally(() => progress.close());
  return { ...files, hasPredictors: rewriting.hasPredictors };
}

interface Outcome extends WrittenFiles {
  readonly source: RewriteSource;
  readonly kept: KeptExperts;
  readonly tally: ExpertTally | null;
  readonly hasPredictors: boolean;
}

function report(
  { dir, out, criterion, json = false }: PruneArgs,
  { source, kept, tally, files, totalBytes, hasPredictors }: Outcome,
  { stdout, stderr }: CommandContext,
): void {
  const before = source.weights.checkpoint.names().reduce((sum, name) => {
    const { begin, end } = source.weights.checkpoint.info(name);
    return sum + end - begin;
  }, 0);
  const { numExperts } = source.spec.moe.gate;
  if (hasPredictors) stderr.write('layers for multi-token prediction are left out: their experts were not watched\n');
  const shares = tally && kept.map((layer, l) => shareOf(tally.counts_LE[l]!, layer));
  if (json) {
    const sizes = { bytes_before: before, bytes: totalBytes, files };
    const chosen = { experts_before: numExperts, experts: kept[0]!.length, kept, kept_share: shares };
    stdout.write(`${JSON.stringify({ dir, out, criterion, ...chosen, ...sizes })}\n`);
    return;
  }
  const isShort = kept[0]!.length <= 16;
  const rows = moeLayersOf(source.spec).map((layer, l) => [
    String(layer),
    ...(shares === null ? [] : [`${(100 * shares[l]!).toFixed(1)} %`]),
    ...(isShort ? [kept[l]!.join(' ')] : []),
  ]);
  const head = ['layer', ...(shares === null ? [] : ['choices kept']), ...(isShort ? ['experts kept'] : [])];
  if (head.length > 1) stdout.write(`${table([head, ...rows])}\n`);
  stdout.write(
    `${out}: ${kept[0]!.length} of ${numExperts} experts in each of ${kept.length} layers, by ${criterion}; ${bytes(totalBytes)} of ${bytes(before)}\n`,
  );
}

/** Of the choices that tokens of the text made. */
function shareOf(counts_E: Float64Array, kept: readonly number[]): number {
  const all = counts_E.reduce((a, b) => a + b, 0);
  return kept.reduce((sum, expert) => sum + counts_E[expert]!, 0) / all;
}
