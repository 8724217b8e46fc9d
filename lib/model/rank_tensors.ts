/** Which tensors of a checkpoint a rank holds. Pure. */
import type { Rank } from '../../comm/ids.js';
import type { Placement } from '../../experts/placement.js';
import type { Checkpoint } from '../weights/checkpoint.js';
import { moeLayersOf, type ModelSpec } from './spec.js';
import * as names from './tensor_names.js';

/** Names of all tensors that a rank reads and holds, an expert's once per slot: what the progress bar counts. */
export function tensorsOfRank(spec: ModelSpec, checkpoint: Checkpoint, placement: Placement, rank: Rank): string[] {
  const numSlots = new Map<string, number>();
  for (const [moeLayer, layer] of moeLayersOf(spec).entries()) {
    for (const logical of slotsOf(placement, moeLayer, rank)) {
      const prefix = names.expertPrefix(layer, logical);
      numSlots.set(prefix, (numSlots.get(prefix) ?? 0) + 1);
    }
  }
  return checkpoint.names().flatMap((name) => {
    if (name.endsWith('.rotary_emb.inv_freq')) return []; // old checkpoints store what rope.ts computes
    const layer = LAYER_OF.exec(name);
    if (layer !== null && Number(layer[1]) >= spec.layers.length) return []; // multi-token prediction, not run
    if (name === names.LM_HEAD && spec.tieWordEmbeddings) return [];
    const expert = EXPERT_OF.exec(name);
    return new Array<string>(expert === null ? 1 : (numSlots.get(expert[1]!) ?? 0)).fill(name);
  });
}

/** Logical experts in a rank's slots, −1 = empty. */
export const slotsOf = ({ phy2log, slotsPerRank }: Placement, moeLayer: number, rank: number): Int32Array =>
  phy2log[moeLayer]!.subarray(rank * slotsPerRank, (rank + 1) * slotsPerRank);

/** Whether a tensor is a routed expert's. */
export const isExpertTensor = (name: string): boolean => EXPERT_OF.test(name);

const LAYER_OF = /^model\.layers\.(\d+)\./;
const EXPERT_OF = /^(model\.layers\.\d+\.mlp\.experts\.\d+)\./;
