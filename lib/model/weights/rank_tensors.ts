/** Which tensors of a checkpoint a rank holds, and which nobody does. Pure. */
import type { Rank } from '../../../base/ids.js';
import { slotsOf, type Placement } from '../../../experts/placement/placement.js';
import type { Checkpoint } from '../../weights/checkpoint.js';
import { moeLayersOf, type ModelSpec } from '../spec/spec.js';
import * as names from '../spec/tensor_names.js';
import { tensorShapesOf } from '../spec/tensor_shapes.js';

/** Names of all tensors that a rank reads and holds, an expert's once per slot: what the progress bar counts. */
export function tensorsOfRank(spec: ModelSpec, checkpoint: Checkpoint, placement: Placement, rank: Rank): string[] {
  const numSlots = new Map<string, number>();
  for (const [moeLayer, layer] of moeLayersOf(spec).entries()) {
    for (const logical of slotsOf(placement, moeLayer, rank)) {
      const prefix = names.expertPrefix(layer, logical);
      numSlots.set(prefix, (numSlots.get(prefix) ?? 0) + 1);
    }
  }
  const wanted = tensorsOf(spec);
  return checkpoint.names().flatMap((name) => {
    if (!wanted.has(name)) return [];
    const expert = EXPERT_OF.exec(name);
    return new Array<string>(expert === null ? 1 : (numSlots.get(expert[1]!) ?? 0)).fill(name);
  });
}

/** Names of all tensors that every rank holds alike. */
export function denseTensors(spec: ModelSpec, checkpoint: Pick<Checkpoint, 'names'>): string[] {
  const wanted = tensorsOf(spec);
  return checkpoint.names().filter((name) => wanted.has(name) && !isExpertTensor(name));
}

/**
 * Tensors that the configuration gives no meaning to, in ascending order. Multi-token prediction, which isn't run, and what old checkpoints store although it is
 * computed are not among them.
 */
export function unusedTensors(spec: ModelSpec, checkpoint: Pick<Checkpoint, 'names'>): string[] {
  const wanted = tensorsOf(spec);
  const all = checkpoint.names();
  const predictors = new Set(all.flatMap((name) => (PREDICTOR.test(name) ? [layerOf(name)] : [])));
  const isPrediction = (name: string): boolean => {
    const layer = layerOf(name);
    return name.startsWith('mtp.') || (layer !== null && layer >= spec.layers.length && predictors.has(layer));
  };
  return all.filter((name) => !wanted.has(name) && !name.endsWith('.rotary_emb.inv_freq') && !isPrediction(name));
}

/**
 * Whether the embedding is the head too. A head that is stored nevertheless is the one that counts, as in transformers 5: the configuration of such a checkpoint
 * is what is wrong.
 */
export const isHeadTied = (spec: ModelSpec, checkpoint: Pick<Checkpoint, 'has'>): boolean =>
  spec.tieWordEmbeddings && !checkpoint.has(names.LM_HEAD);

/** Whether a tensor is a routed expert's. */
export const isExpertTensor = (name: string): boolean => EXPERT_OF.test(name);

/** Everything that a model of this spec may be loaded from. */
const tensorsOf = (spec: ModelSpec): ReadonlySet<string> =>
  new Set([names.LM_HEAD, ...Array.from(tensorShapesOf(spec), ({ name }) => name)]);

/** The layer that a tensor is of, by its name; null: of none. */
export function layerOf(name: string): number | null {
  const found = LAYER_OF.exec(name);
  return found === null ? null : Number(found[1]);
}

const LAYER_OF = /^model\.layers\.(\d+)\./;
const EXPERT_OF = /^(model\.layers\.\d+\.mlp\.experts\.\d+)\./;
/** What only a layer for multi-token prediction has. */
const PREDICTOR = /^model\.layers\.\d+\.(eh_proj|enorm|hnorm)\./;
