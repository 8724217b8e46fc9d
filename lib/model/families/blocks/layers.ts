/** Which layers have experts, and how far the tokens of each see. */
import * as z from 'zod';
import { count, requireConfig } from '../../spec/hf_config.js';
import { FULL_ATTENTION, type AttentionMixer, type LayerSpec, type MixerSpec } from '../../spec/spec.js';

/** Layers that are MoE or a dense network of this size; without `mixerOf` their tokens see all before them. */
export const layersOf = (
  numLayers: number,
  intermediateSize: number,
  isMoe: (layer: number) => boolean,
  mixerOf: (layer: number) => MixerSpec = () => FULL_ATTENTION,
): LayerSpec[] =>
  Array.from({ length: numLayers }, (_, i) =>
    isMoe(i) ? { kind: 'moe', mixer: mixerOf(i) } : { kind: 'dense', intermediateSize, mixer: mixerOf(i) },
  );

/** Every layer has experts. */
export const allMoe = (): true => true;

/** Fields of families whose layers may have a window; null: none has. */
export const WINDOW_FIELDS = {
  sliding_window: count.nullish(),
  layer_types: z.array(z.enum(['full_attention', 'sliding_attention'])).nullish(),
} as const;

/**
 * The mixers of layers whose types are named, or follow from `isSliding` where they aren't.
 * @throws ModelError INVALID_MODEL_CONFIG
 */
export function mixersOf(
  numLayers: number,
  window: number | null | undefined,
  layerTypes: readonly string[] | null | undefined,
  isSliding: (layer: number) => boolean,
): (layer: number) => AttentionMixer {
  requireConfig(
    !layerTypes || layerTypes.length === numLayers,
    `layer_types has ${layerTypes?.length} entries, and num_hidden_layers is ${numLayers}`,
  );
  return (layer) => {
    const slides = layerTypes ? layerTypes[layer] === 'sliding_attention' : isSliding(layer);
    if (!slides) return FULL_ATTENTION;
    requireConfig(!!window, `layer ${layer} is sliding_attention, and there is no sliding_window`);
    return { kind: 'attention', window: window! };
  };
}

/** Fields of families in which every few layers have experts (Qwen). */
export const SPARSE_FIELDS = {
  decoder_sparse_step: count.default(1),
  mlp_only_layers: z.array(z.int()).nullish(),
} as const;

/** Which layers these fields give experts. */
export const isSparse =
  (c: { readonly decoder_sparse_step: number; readonly mlp_only_layers?: readonly number[] | null | undefined }) =>
  (layer: number): boolean =>
    !c.mlp_only_layers?.includes(layer) && (layer + 1) % c.decoder_sparse_step === 0;
