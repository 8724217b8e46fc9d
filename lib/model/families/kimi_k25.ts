/** Kimi-K2.5 (Moonshot AI, 2026): Kimi-K2 inside a model that sees pictures too; text alone is run here. */
import * as z from 'zod';
import { parseHfConfig } from '../spec/hf_config.js';
import { OWN_NAMES, type ModelSpec } from '../spec/spec.js';
import { deepseekV3 } from './deepseek_v3.js';

const schema = z.looseObject({ text_config: z.looseObject({}) });

/** A model from its config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export function kimiK25(config: unknown): ModelSpec {
  const { text_config: text, ...around } = parseHfConfig('kimi_k25', schema, config);
  const { quantization_config: quantised = around.quantization_config } = text;
  const spec = deepseekV3({ ...text, quantization_config: quantised }, 'kimi_k25');
  return { ...spec, stored: { ...OWN_NAMES, prefix: 'language_model.' } };
}
