/** The model families, by config.json's `model_type`. */
import { shown } from '../../../base/foreign_text.js';
import { ModelError } from '../spec/errors.js';
import { moeLayersOf, type ModelSpec } from '../spec/spec.js';
import { bailingMoe, bailingMoeV2 } from './bailing_moe.js';
import type { Family } from './blocks/family.js';
import { deepseekV2 } from './deepseek_v2.js';
import { deepseekV3, kimiK2 } from './deepseek_v3.js';
import { deepseekV32, glmMoeDsa } from './deepseek_v32.js';
import { dots1 } from './dots1.js';
import { ernie45Moe } from './ernie4_5_moe.js';
import { glm4Moe } from './glm4_moe.js';
import { glm4MoeLite } from './glm4_moe_lite.js';
import { gptOss } from './gpt_oss.js';
import { graniteMoe } from './granitemoe.js';
import { kimiK25 } from './kimi_k25.js';
import { lfm2Moe } from './lfm2_moe.js';
import { minimaxM2 } from './minimax_m2.js';
import { mixtral } from './mixtral.js';
import { olmoe } from './olmoe.js';
import { phimoe } from './phimoe.js';
import { qwen2Moe } from './qwen2_moe.js';
import { qwen35Moe } from './qwen3_5_moe.js';
import { qwen3Moe } from './qwen3_moe.js';
import { qwen3Next } from './qwen3_next.js';

/** By `model_type`: what makes a spec of a parsed config.json. */
export const FAMILIES: Readonly<Record<string, Family>> = {
  bailing_moe: bailingMoe,
  bailing_moe_v2: bailingMoeV2,
  deepseek_v2: deepseekV2,
  deepseek_v3: deepseekV3,
  deepseek_v32: deepseekV32,
  dots1,
  ernie4_5_moe: ernie45Moe,
  glm4_moe: glm4Moe,
  glm4_moe_lite: glm4MoeLite,
  glm_moe_dsa: glmMoeDsa,
  gpt_oss: gptOss,
  granitemoe: graniteMoe,
  kimi_k2: kimiK2,
  kimi_k25: kimiK25,
  lfm2_moe: lfm2Moe,
  minimax_m2: minimaxM2,
  mixtral,
  olmoe,
  phimoe,
  qwen2_moe: qwen2Moe,
  qwen3_5_moe: qwen35Moe,
  qwen3_moe: qwen3Moe,
  qwen3_next: qwen3Next,
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
