/** A model folder with fewer experts in each layer, made of another one. Why: docs/decisions/pruning.md#a-pruned-checkpoint-is-a-checkpoint */
import type { Rewriting } from '../rewrite/rewrite.js';
import type { RewriteSource } from '../rewrite/source.js';
import type { KeptExperts } from './kept_experts.js';
import { prunedConfig } from './pruned_config.js';
import { prunedTensors } from './pruned_tensors.js';

/** What config.json keeps of a pruning, as `expertwire.prune`. */
export interface PruneNotes {
  readonly criterion: string;
  /** Experts of each layer before. */
  readonly of: number;
  /** [MoE layers][experts of now]: what each was before. */
  readonly kept: KeptExperts;
}

/** All that changes, and whether layers for multi-token prediction are left out. @throws WeightError, ModelError for a layout that isn't known */
export function pruning(
  { config, spec, weights }: Pick<RewriteSource, 'config' | 'spec' | 'weights'>,
  { criterion, kept }: Pick<PruneNotes, 'criterion' | 'kept'>,
): Rewriting & { readonly hasPredictors: boolean } {
  const { numExperts } = spec.moe.gate;
  const edits = prunedConfig(config, numExperts, kept[0]!.length);
  const notes: { readonly prune: PruneNotes } = { prune: { criterion, of: numExperts, kept } };
  return { ...prunedTensors(weights.checkpoint, spec, kept), edits, notes, keepsCodes: true };
}
