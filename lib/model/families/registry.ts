/** The model families, by config.json's `model_type`. */
import { shown } from '../../../base/foreign_text.js';
import { ModelError } from '../spec/errors.js';
import { deepseekV3 } from './deepseek_v3.js';
import { qwen3Moe } from './qwen3_moe.js';
import { moeLayersOf, type ModelSpec } from '../spec/spec.js';

/** By `model_type`: what makes a spec of a parsed config.json. */
export const FAMILIES: Readonly<Record<string, (config: unknown) => ModelSpec>> = {
  deepseek_v3: deepseekV3,
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
