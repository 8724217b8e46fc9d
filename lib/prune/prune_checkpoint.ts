/** A model folder with fewer experts in each layer, made of another one. Why: docs/decisions/pruning.md#a-pruned-checkpoint-is-a-checkpoint */
import { expertOriginsOf } from '../compare/expert_origins.js';
import { NOTES_KEY, type Rewriting } from '../rewrite/rewrite.js';
import type { RewriteSource } from '../rewrite/source.js';
import type { KeptExperts } from './kept_experts.js';
import type { MergeGroup } from './merge_groups.js';
import { Merging } from './merging.js';
import { prunedConfig } from './pruned_config.js';
import { prunedTensors } from './pruned_tensors.js';

/** What config.json keeps of a pruning, as `expertwire.prune`; of several, by the numbers of the model before the first. */
export interface PruneNotes {
  readonly criterion: string;
  /** Experts of each layer before. */
  readonly of: number;
  /** [MoE layers][experts of now]: what each was before. */
  readonly kept: KeptExperts;
  /** [MoE layers][experts of now]: those that each was made of, itself first. Absent where none was merged. */
  readonly merged?: readonly (readonly (readonly number[])[])[];
}

/** What experts stay, and why. */
export interface Pruned extends Pick<PruneNotes, 'criterion' | 'kept'> {
  /** Those that take others in, of each MoE layer one for each that is kept. Default: the others are gone. */
  readonly groups?: readonly (readonly MergeGroup[])[] | undefined;
}

/** All that changes, and whether layers for multi-token prediction are left out. @throws WeightError, ModelError for a layout that isn't known */
export function pruning(
  { config, spec, weights }: Pick<RewriteSource, 'config' | 'spec' | 'weights'>,
  { criterion, kept, groups }: Pruned,
): Rewriting & { readonly hasPredictors: boolean } {
  const { numExperts } = spec.moe.gate;
  const edits = prunedConfig(config, numExperts, kept[0]!.length);
  const merged = groups?.map((layer) => layer.map(({ experts }) => experts));
  const notes = { prune: sinceFirst({ criterion, of: numExperts, kept, ...(merged && { merged }) }, config) };
  const merging = groups === undefined ? null : new Merging(weights, spec, groups);
  return { ...prunedTensors(weights.checkpoint, spec, kept, merging), edits, notes, keepsCodes: true };
}

/** Those of a model that was pruned before, so that it can still be held against the first. A note that isn't of as many experts tells nothing. */
function sinceFirst(notes: PruneNotes, config: RewriteSource['config']): PruneNotes {
  const origins = expertOriginsOf(config);
  const isOfThis = origins?.length === notes.kept.length && origins.every(({ length }) => length === notes.of);
  if (!isOfThis) return notes;
  const former = (config[NOTES_KEY] as { readonly prune: PruneNotes }).prune;
  const kept = notes.kept.map((layer, l) => layer.map((expert) => origins[l]![expert]!));
  const made = notes.merged ?? (former.merged && notes.kept.map((layer) => layer.map((expert) => [expert])));
  const partsOf = (l: number, expert: number): readonly number[] =>
    former.merged?.[l]?.[expert] ?? [origins[l]![expert]!];
  const merged = made?.map((layer, l) => layer.map((experts) => experts.flatMap((expert) => partsOf(l, expert))));
  return { criterion: notes.criterion, of: former.of, kept, ...(merged && { merged }) };
}
