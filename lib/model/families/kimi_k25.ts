/** Kimi-K2.5 (Moonshot AI, 2026): Kimi-K2 inside a model that sees pictures too; text alone is run here. */
import * as z from 'zod';
import { parseHfConfig } from '../spec/hf_config.js';
import { OWN_NAMES, type ModelSpec } from '../spec/spec.js';
import type { Family } from './blocks/family.js';
import { kimiK2 } from './deepseek_v3.js';

const schema = z.looseObject({ text_config: z.looseObject({}), quantization_config: z.unknown().optional() });

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export const kimiK25: Family = Object.assign(
  (config: unknown): ModelSpec => {
    const { text_config: text, quantization_config: around } = parseHfConfig('kimi_k25', schema, config);
    const spec = kimiK2({ ...text, quantization_config: text.quantization_config ?? around });
    return { ...spec, modelType: 'kimi_k25', stored: { ...OWN_NAMES, prefix: 'language_model.' } };
  },
  { fields: Object.keys(schema.shape), text: kimiK2 },
);
