/** A checkpoint's tensors with fewer experts, as they are stored otherwise: in any format, piece by piece. */
import type { TensorSource } from '../weights/checkpoint_writer.js';
import type { Checkpoint } from '../weights/checkpoint.js';
import type { TensorInfo } from '../weights/safetensors_header.js';
import type { ModelSpec } from '../model/spec/spec.js';
import { copiedTensor, pickedTensor } from '../rewrite/new_tensors.js';
import { entriesOf, roleOf } from './expert_tensors.js';
import type { KeptExperts } from './kept_experts.js';
import type { Merging } from './merging.js';

/** What the new checkpoint holds. */
export interface PrunedTensors {
  /** In the order of the old one's. */
  readonly tensors: readonly TensorSource[];
  /** Layers for multi-token prediction are left out: their experts see other tokens than those that were watched. */
  readonly hasPredictors: boolean;
}

/**
 * `kept`: of each MoE layer; `merging`: what those become that take others in; null: they stay as they are.
 * @throws WeightError SHAPE_MISMATCH for a tensor of experts that has another number of them than config.json says; UNKNOWN_DTYPE for codes that are to be merged
 */
export function prunedTensors(
  checkpoint: Checkpoint,
  spec: ModelSpec,
  kept: KeptExperts,
  merging: Merging | null = null,
): PrunedTensors {
  const names = checkpoint.names();
  const role = roleOf(spec, names);
  let hasPredictors = false;
  const tensors = names.flatMap((name): TensorSource[] => {
    const tensor = checkpoint.info(name);
    const its = role(tensor);
    switch (its.kind) {
      case 'other':
        return [copiedTensor(checkpoint, tensor)];
      case 'predictor':
        hasPredictors = true;
        return [];
      case 'all':
        return [
          merging?.all(tensor, its.moeLayer) ??
            pickedEntries(checkpoint, tensor, kept[its.moeLayer]!, spec.moe.gate.numExperts),
        ];
      case 'own': {
        const expert = kept[its.moeLayer]!.indexOf(its.expert);
        if (expert < 0) return [];
        const newName = its.nameOf(expert);
        return [merging?.own(tensor, newName, its.moeLayer, expert) ?? copiedTensor(checkpoint, tensor, newName)];
      }
    }
  });
  return { tensors, hasPredictors };
}

/** Dimensions of 1 before the experts' stay. */
function pickedEntries(
  checkpoint: Checkpoint,
  tensor: TensorInfo,
  entries: readonly number[],
  numExperts: number,
): TensorSource {
  const { axis } = entriesOf(tensor, numExperts);
  const picked = pickedTensor(checkpoint, { ...tensor, shape: tensor.shape.slice(axis) }, entries);
  return { ...picked, shape: [...tensor.shape.slice(0, axis), ...picked.shape] };
}
