/** The model families, by config.json's `model_type`. */
import { shown } from '../../../base/foreign_text.js';
import { ModelError } from '../spec/errors.js';
import { deepseekV2 } from './deepseek_v2.js';
import { deepseekV3 } from './deepseek_v3.js';
import { olmoe } from './olmoe.js';
import { qwen3Moe } from './qwen3_moe.js';
import { moeLayersOf, type ModelSpec } from '../spec/spec.js';

/** By `model_type`: what makes a spec of a parsed config.json. */
export const FAMILIES: Readonly<Record<string, (config: unknown) => ModelSpec>> = {
  deepseek_v2: deepseekV2,
  deepseek_v3: (config) => deepseekV3(config),
  kimi_k2: (config) => deepseekV3(config, 'kimi_k2'),
  olmoe,
  qwen3_moe: qwen3Moe,
};

/**
 * config.json → what to run.
 * @throws ModelError UNSUPPORTED_MODEL (unknown family or value, with the supported ones), INVALID_MODEL_CONFIG
 */
export function modelSpecOf(config: unknown): ModelSpec {
  const modelType = (config as { model_type?: unknown } | null)?.model_type;
  const family = typeof modelType === 'string' && Object.hasOwn(FAMILIES, modelType) ? FAMILIES[modelType] : undefined;
  if (family === undefined) {
    throw new ModelError(
      'UNSUPPORTED_MODEL',
      `config.json: model_type is ${modelType === undefined ? 'missing' : shown(modelType)}; supported: ${Object.keys(FAMILIES).join(', ')}`,
    );
  }
  const spec = family(config);
  if (moeLayersOf(spec).length === 0) {
    throw new ModelError(
      'UNSUPPORTED_MODEL',
      'config.json describes a model without a single MoE layer; choose one with experts',
    );
  }
  return spec;
}
