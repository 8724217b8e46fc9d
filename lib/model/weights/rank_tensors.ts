/** Which tensors of a checkpoint a rank holds, and which nobody does. Pure. */
import type { Rank } from '../../../base/ids.js';
import { slotsOf, type Placement } from '../../../experts/placement/placement.js';
import type { KnownWeights, ModelWeights } from '../stored/model_weights.js';
import { expertOf } from '../spec/slices.js';
import { moeLayersOf, type ModelSpec } from '../spec/spec.js';
import * as names from '../spec/tensor_names.js';
import { expertShapes, ofOneExpert, tensorShapesOf } from '../spec/tensor_shapes.js';

/** Names of all tensors that a rank reads, whole or in part, and holds, an expert's once per slot. */
export function tensorsOfRank(spec: ModelSpec, weights: HasTensors, placement: Placement, rank: Rank): string[] {
  const experts = [...moeLayersOf(spec).entries()].flatMap(([moeLayer, layer]) =>
    [...slotsOf(placement, moeLayer, rank)].flatMap((logical) =>
      logical < 0 ? [] : expertTensors(spec, layer, expertOf(spec, logical)),
    ),
  );
  return [...denseTensors(spec, weights), ...experts.filter((name) => weights.has(name))];
}

/** Names of all tensors that every rank holds alike. */
export function denseTensors(spec: ModelSpec, weights: HasTensors): string[] {
  return [...tensorsOf(ofOneExpert(spec))].filter((name) => !isExpertTensor(name) && weights.has(name));
}

/** Names of one routed expert's tensors. */
export const expertTensors = ({ moe, hiddenSize }: ModelSpec, layer: number, expert: number): string[] =>
  Array.from(expertShapes(moe, hiddenSize, layer, expert), ({ name }) => name);

/** What tells whether a checkpoint holds a tensor. */
type HasTensors = Pick<KnownWeights, 'has'>;

/** What a checkpoint holds beside the model. */
export interface UnusedTensors {
  /** To which the configuration gives no meaning, in ascending order. */
  readonly unknown: readonly string[];
  /** Parts of published models that aren't run here. */
  readonly skipped: readonly string[];
}

/** What old checkpoints store although it is computed is not among them. */
export function unusedTensors(spec: ModelSpec, weights: ModelWeights): UnusedTensors {
  const used = weights.storedNames();
  const all = weights.checkpoint.names();
  const isPredicting = predictorsOf(spec, all);
  const isSeeing = (name: string): boolean => !used.has(name) && SEEING.test(name);
  return {
    unknown: all.filter(
      (name) => !used.has(name) && !COMPUTED_OR_SCALES.test(name) && !isPredicting(name) && !isSeeing(name),
    ),
    skipped: [
      ...(all.some(isPredicting) ? ['layers for multi-token prediction'] : []),
      ...(all.some(isSeeing) ? ['what sees pictures'] : []),
    ],
  };
}

/** Whether a tensor is of a layer for multi-token prediction. `names`: of all tensors of its checkpoint. */
export function predictorsOf({ layers }: ModelSpec, names: readonly string[]): (name: string) => boolean {
  const predictors = new Set(names.flatMap((name) => PREDICTOR.exec(name)?.[1] ?? []));
  return (name) => {
    const [prefix = '', layer = '0'] = LAYER_PREFIX.exec(name) ?? [];
    return MTP.test(name) || (Number(layer) >= layers.length && predictors.has(prefix));
  };
}

/**
 * Whether the embedding is the head too. A head that is stored nevertheless is the one that counts, as in transformers 5: the configuration of such a checkpoint
 * is what is wrong.
 */
export const isHeadTied = (spec: ModelSpec, weights: HasTensors): boolean =>
  spec.tieWordEmbeddings && !weights.has(names.LM_HEAD);

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

/** What is computed although old checkpoints store it, and scales of activations and caches. Why: docs/decisions/formats.md#activations-are-not-quantised */
const COMPUTED_OR_SCALES =
  /\.(rotary_emb\.inv_freq|weight_shape|(input|output)_(scale|zero_point|global_scale)|[qkv]_(scale|zero_point))$/;
const LAYER_OF = /^model\.layers\.(\d+)\./;
const EXPERT_OF = /^(model\.layers\.\d+\.mlp\.experts\.\d+)\./;
/** What only a layer for multi-token prediction has, behind the prefix of the layer. */
const PREDICTOR = /^(.*\blayers\.\d+\.)(?:eh_proj|enorm|hnorm)\./;
/** Such layers under names of their own: Qwen's and, with an underscore, ERNIE's. */
const MTP = /^(model\.)?mtp[._]/;
const LAYER_PREFIX = /^.*?\blayers\.(\d+)\./;
/** What is of nothing else by its name. */
const SEEING = /^(model\.)?(vision_tower|vision_model|visual|mm_projector|multi_modal_projector)\./;
