/** Reading a Hugging Face config.json: fields checked one by one, so that an unsupported model is refused by name. */
import { z } from 'zod';
import { ModelError } from './errors.js';
import type { LayerSpec, YarnSpec } from './spec.js';

/**
 * Applies a family's schema. Unknown fields are ignored, as in Hugging Face; a field that the schema fixes to certain values (`z.literal`,
 * `z.enum`) is an UNSUPPORTED_MODEL error that lists them.
 */
export function parseHfConfig<T>(modelType: string, schema: z.ZodType<T>, config: unknown): T {
  const result = schema.safeParse(config);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const field = issue.path.join('.');
  const value = valueAt(config, issue.path);
  const got = value === undefined ? 'missing' : JSON.stringify(value);
  if (issue.code === 'invalid_value') {
    const supported = issue.values.map((value) => JSON.stringify(value)).join(', ');
    throw new ModelError(
      'UNSUPPORTED_MODEL',
      `config.json: ${field} is ${got}, and ${modelType} runs with ${supported}; choose a checkpoint of that form`,
    );
  }
  throw new ModelError(
    'INVALID_MODEL_CONFIG',
    `config.json: ${field} is ${got}: ${issue.message}; compare it with the checkpoint's original config.json`,
  );
}

function valueAt(config: unknown, path: readonly PropertyKey[]): unknown {
  let value = config;
  for (const key of path) value = (value as Record<PropertyKey, unknown> | undefined)?.[key];
  return value;
}

export const count = z.int().positive();

/** Fields that every family has. */
export const COMMON_FIELDS = {
  hidden_size: count,
  vocab_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  max_position_embeddings: count,
  rms_norm_eps: z.number().positive(),
  tie_word_embeddings: z.boolean().default(false),
  hidden_act: z.literal('silu'),
  attention_bias: z.literal(false).default(false),
  quantization_config: z.literal(null).optional(),
  eos_token_id: z.union([z.int(), z.array(z.int()), z.null()]).optional(),
} as const;

/** What COMMON_FIELDS say, as a spec names it. */
export function commonSpec(c: z.infer<z.ZodObject<typeof COMMON_FIELDS>>) {
  return {
    hiddenSize: c.hidden_size,
    vocabSize: c.vocab_size,
    maxPositions: c.max_position_embeddings,
    normEps: c.rms_norm_eps,
    tieWordEmbeddings: c.tie_word_embeddings,
    eosTokenIds: eosTokenIds(c.eos_token_id),
  };
}

/** Layers that are MoE or a dense network of this size. */
export function layersOf(numLayers: number, intermediateSize: number, isMoe: (layer: number) => boolean): LayerSpec[] {
  return Array.from({ length: numLayers }, (_, i) =>
    isMoe(i) ? { kind: 'moe' } : { kind: 'dense', intermediateSize },
  );
}

const eosTokenIds = (value: number | readonly number[] | null | undefined): readonly number[] =>
  value === null || value === undefined ? [] : typeof value === 'number' ? [value] : value;

const scaling = z.object({
  rope_type: z.enum(['default', 'yarn']).optional(),
  type: z.enum(['default', 'yarn']).optional(), // the old spelling of rope_type
  rope_theta: z.number().positive().optional(),
  factor: z.number().positive().optional(),
  original_max_position_embeddings: count.optional(),
  beta_fast: z.number().positive().default(32),
  beta_slow: z.number().positive().default(1),
  mscale: z.number().nullish(),
  mscale_all_dim: z.number().nullish(),
  truncate: z.literal(true).optional(),
  attention_factor: z.literal(null).optional(),
});

/** `rope_theta` and `rope_scaling` of Hub checkpoints, or the `rope_parameters` that newer libraries write. */
export const ROPE_FIELDS = {
  rope_theta: z.number().positive().default(10000),
  rope_scaling: scaling.nullish(),
  rope_parameters: scaling.nullish(),
} as const;

export interface RopeFields {
  readonly rope_theta: number;
  readonly rope_scaling?: z.infer<typeof scaling> | null | undefined;
  readonly rope_parameters?: z.infer<typeof scaling> | null | undefined;
}

export function ropeOf(fields: RopeFields, maxPositions: number): { theta: number; yarn: YarnSpec | null } {
  const parameters = fields.rope_parameters ?? fields.rope_scaling;
  const theta = parameters?.rope_theta ?? fields.rope_theta;
  if (!parameters || (parameters.rope_type ?? parameters.type ?? 'default') === 'default') return { theta, yarn: null };
  if (parameters.factor === undefined) {
    throw new ModelError('INVALID_MODEL_CONFIG', 'config.json: rope_scaling is yarn without a factor; add it');
  }
  const yarn: YarnSpec = {
    factor: parameters.factor,
    originalMaxPositions: parameters.original_max_position_embeddings ?? maxPositions,
    betaFast: parameters.beta_fast,
    betaSlow: parameters.beta_slow,
    mscale: parameters.mscale ?? null,
    mscaleAllDim: parameters.mscale_all_dim ?? null,
  };
  return { theta, yarn };
}

/** A rule between two fields. */
export function requireConfig(isValid: boolean, message: string): void {
  if (!isValid) throw new ModelError('INVALID_MODEL_CONFIG', `config.json: ${message}`);
}
