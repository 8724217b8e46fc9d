/** Qwen3.5-MoE (Qwen team, 2026): Qwen3-Next inside a model that sees pictures too, with projections apart; text alone is run here. */
import * as z from 'zod';
import { parseHfConfig } from '../spec/hf_config.js';
import type { ModelSpec } from '../spec/spec.js';
import { family, type Family } from './blocks/family.js';
import { allMoe, layersOf } from './blocks/layers.js';
import { linearMixers } from './blocks/linear.js';
import { NEXT_FIELDS, nextSpec } from './qwen3_next.js';

const schema = z.looseObject({
  text_config: z.looseObject({}),
  tie_word_embeddings: z.boolean().default(false),
  quantization_config: z.unknown().optional(),
});

/** Its text alone, as transformers saves it. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const qwen35MoeText = family('qwen3_5_moe_text', z.object(NEXT_FIELDS), (c) =>
  nextSpec(c, layersOf(c.num_hidden_layers, 0, allMoe, linearMixers(c, 'apart')), true),
);

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const qwen35Moe: Family = Object.assign(
  (config: unknown): ModelSpec => {
    const {
      text_config: inner,
      tie_word_embeddings,
      quantization_config,
    } = parseHfConfig('qwen3_5_moe', schema, config);
    const spec = qwen35MoeText({
      ...inner,
      tie_word_embeddings,
      quantization_config: inner.quantization_config ?? quantization_config,
    });
    const replace = [...spec.stored.replace, ['model.', 'model.language_model.'] as const];
    return { ...spec, modelType: 'qwen3_5_moe', stored: { ...spec.stored, replace } };
  },
  { fields: Object.keys(schema.shape), text: qwen35MoeText },
);
