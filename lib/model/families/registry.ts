/** The model families, by config.json's `model_type`. */
import { shown } from '../../../base/foreign_text.js';
import { ModelError } from '../spec/errors.js';
import { mechanismsOf } from '../spec/mechanisms.js';
import { checkOverrides, withOverrides, type Known } from '../spec/overrides.js';
import { ROPE_KEYS, ROPE_MAPPINGS } from '../spec/rope_config.js';
import { moeLayersOf, type ModelSpec } from '../spec/spec.js';
import { bailingMoe, bailingMoeV2 } from './bailing_moe.js';
import type { Family } from './blocks/family.js';
import { deepseekV2 } from './deepseek_v2.js';
import { deepseekV3, kimiK2 } from './deepseek_v3.js';
import { deepseekV32, glmMoeDsa } from './deepseek_v32.js';
import { deepspeedMoe } from './deepspeed_moe.js';
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
import { qwen35Moe, qwen35MoeText } from './qwen3_5_moe.js';
import { qwen3Moe } from './qwen3_moe.js';
import { qwen3Next } from './qwen3_next.js';

/** By `model_type`: what makes a spec of a parsed config.json. */
export const FAMILIES: Readonly<Record<string, Family>> = {
  bailing_moe: bailingMoe,
  bailing_moe_v2: bailingMoeV2,
  deepseek_v2: deepseekV2,
  deepseek_v3: deepseekV3,
  deepseek_v32: deepseekV32,
  deepspeed_moe: deepspeedMoe,
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
  qwen3_5_moe_text: qwen35MoeText,
  qwen3_moe: qwen3Moe,
  qwen3_next: qwen3Next,
};

/** Families that are not here, by `model_type`. */
export type OtherFamilies = ReadonlyMap<string, (config: unknown) => ModelSpec>;

/**
 * config.json, some of its fields perhaps set to something else → what to run. `others` may read any field.
 * @throws ModelError UNSUPPORTED_MODEL (unknown family or value, with the supported ones), INVALID_MODEL_CONFIG
 */
export function modelSpecOf(
  written: unknown,
  overrides: Readonly<Record<string, unknown>> = {},
  others: OtherFamilies = new Map(),
): ModelSpec {
  const read = (written ?? {}) as Readonly<Record<string, unknown>>;
  const config = withOverrides(read, overrides);
  const { model_type: modelType } = config;
  const other = typeof modelType === 'string' ? others.get(modelType) : undefined;
  if (other !== undefined) return other(config);
  const family = typeof modelType === 'string' && Object.hasOwn(FAMILIES, modelType) ? FAMILIES[modelType] : undefined;
  if (family === undefined) throw unknownFamily(config, [...others.keys()]);
  checkOverrides(overrides, knownTo(family, read));
  const spec = family(config);
  if (moeLayersOf(spec).length === 0) {
    throw new ModelError(
      'UNSUPPORTED_MODEL',
      'config.json describes a model without a single MoE layer; choose one with experts',
    );
  }
  return spec;
}

/** What may be set to something else: also what a family refuses, so that it can be turned off. */
function knownTo({ fields, aliases = [], text }: Family, config: Readonly<Record<string, unknown>>): Known {
  const ofRope = ROPE_MAPPINGS.filter((field) => fields.includes(field));
  const inText = (config.text_config ?? {}) as Readonly<Record<string, unknown>>;
  return {
    fields: ['model_type', ...fields, ...aliases, ...mechanismsOf(config).map(({ field }) => field)],
    inside: {
      ...Object.fromEntries(ofRope.map((field) => [field, { fields: ROPE_KEYS, inside: {} }])),
      ...(text !== undefined && { text_config: knownTo(text, inText) }),
    },
  };
}

function unknownFamily(config: Readonly<Record<string, unknown>>, others: readonly string[]): ModelError {
  const { model_type: modelType } = config;
  const name = modelType === undefined ? 'missing' : shown(modelType);
  const read = new Set(Object.values(FAMILIES).flatMap(({ fields }) => fields));
  const mechanism = mechanismsOf(config).find(({ field }) => !read.has(field));
  const has = mechanism === undefined ? '' : `; it has ${mechanism.field} (${mechanism.what})`;
  return new ModelError(
    'UNSUPPORTED_MODEL',
    `config.json: model_type is ${name}${has}${likenessOf(config)}; supported: ${[...Object.keys(FAMILIES), ...others].join(', ')}`,
  );
}

/** Fewer fields in common are those that every model has. */
const MIN_LIKENESS = 15;

/** The family that reads the most of a configuration's fields, and what it says of them; families that would run it come first. */
function likenessOf(config: Readonly<Record<string, unknown>>): string {
  const tried = Object.entries(FAMILIES).map(([name, family]) => {
    const numRead = family.fields.filter((field) => Object.hasOwn(config, field)).length;
    return {
      name,
      fields: family.fields,
      numRead,
      unread: family.fields.length - numRead,
      error: errorOf(family, config),
    };
  });
  const rank = ({ numRead, error }: (typeof tried)[number]): number => numRead + (error === null ? 1000 : 0);
  const [nearest] = tried.toSorted((a, b) => rank(b) - rank(a) || a.unread - b.unread);
  if (nearest === undefined || nearest.numRead < MIN_LIKENESS) return '';
  if (nearest.error !== null) return `; it is most like ${nearest.name}, which says: ${nearest.error}`;
  const unread = unreadOf(config, nearest.fields);
  const doubt = unread.length === 0 ? '' : `, which doesn't read ${unread.join(', ')}`;
  return `; its fields are those of ${nearest.name}${doubt}: if it is that under another name, try --set model_overrides.model_type=${nearest.name}`;
}

/** More would hide what matters. */
const MAX_UNREAD = 16;
/** Of training, of files and of programs. */
const OF_NO_MODEL =
  /^(_name_or_path|architectures|auto_map|bos_token_id|(torch_)?dtype|model_type|pad_token_id|pretraining_tp|.*(aux_loss|dropout|initializer|output_|use_cache|version).*)$/;

/** What a configuration says and a family doesn't read. */
function unreadOf(config: Readonly<Record<string, unknown>>, fields: readonly string[]): string[] {
  const unread = Object.keys(config).filter(
    (field) => !fields.includes(field) && !OF_NO_MODEL.test(field) && config[field] !== null && config[field] !== false,
  );
  return unread.length <= MAX_UNREAD
    ? unread
    : [...unread.slice(0, MAX_UNREAD), `and ${unread.length - MAX_UNREAD} more`];
}

function errorOf(family: Family, config: unknown): string | null {
  try {
    family(config);
    return null;
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    return error.message.replace(/^[A-Z_]+: config\.json: /, '').replace(/(: Invalid input[^;]*)?;[^;]*$/, '');
  }
}
