/**
 * Reading a Hugging Face config.json: fields checked one by one, so that an unsupported model is refused by name.
 * Why: docs/decisions/exactness.md#configuration-fields-act-as-in-transformers
 */
import * as z from 'zod';
import { shown } from '../../../base/foreign_text.js';
import { valueAt } from '../../../base/foreign_value.js';
import { ModelError } from './errors.js';
import { quantizationOf } from './quantization.js';
import { NO_MULTIPLIERS, OWN_NAMES } from './spec.js';

/**
 * Applies a family's schema. Unknown fields are ignored, as in Hugging Face; a field that the schema fixes to certain values (`z.literal`,
 * `z.enum`) is an UNSUPPORTED_MODEL error that lists them.
 */
export function parseHfConfig<S extends z.ZodObject>(modelType: string, schema: S, config: unknown): z.infer<S> {
  const result = schema.safeParse(config);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const field = issue.path.join('.');
  const value = valueAt(config, issue.path);
  const got = value === undefined ? 'missing' : shown(value);
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

/** No size of a published model comes near it: a larger number is a damaged file, and would be memory. */
export const MAX_SIZE = 2 ** 24;
/** The same of layers. */
export const MAX_LAYERS = 4096;
/** Experts of all layers: every table of placements and loads has so many entries. */
const MAX_EXPERTS = 2 ** 17;

/** A number of things that the rest of the program may make arrays of. */
export const count = z.int().positive().max(MAX_SIZE);

/** A token, several, or none; null says nothing. */
const END_TOKENS = z.union([z.int().nonnegative(), z.array(z.int().nonnegative()).max(1024), z.null()]).optional();

/** Fields that every family has. Where one is left out, it is what the reference's configuration class says. */
export const COMMON_FIELDS = {
  hidden_size: count,
  vocab_size: count,
  num_hidden_layers: count.max(MAX_LAYERS),
  num_attention_heads: count,
  rms_norm_eps: z.number().nonnegative().default(1e-6),
  tie_word_embeddings: z.boolean().default(false),
  hidden_act: z.enum(['silu', 'swish']).default('silu'),
  attention_bias: z.literal(false).default(false),
  quantization_config: z.unknown().optional(),
  eos_token_id: END_TOKENS,
} as const;

/** What COMMON_FIELDS say, as a spec names it. */
export function commonSpec(
  c: Omit<z.infer<z.ZodObject<typeof COMMON_FIELDS>>, 'attention_bias'> & { readonly max_position_embeddings: number },
) {
  return {
    hiddenSize: c.hidden_size,
    vocabSize: c.vocab_size,
    maxPositions: c.max_position_embeddings,
    norm: 'rms',
    normEps: c.rms_norm_eps,
    normOffset: 0,
    multipliers: NO_MULTIPLIERS,
    tieWordEmbeddings: c.tie_word_embeddings,
    hasHeadBias: false,
    eosTokenIds: eosTokenIds(c.eos_token_id),
    stored: OWN_NAMES,
    quantization: quantizationOf(c.quantization_config),
  } as const;
}

const eosTokenIds = (value: number | readonly number[] | null | undefined): readonly number[] =>
  value === null || value === undefined ? [] : typeof value === 'number' ? [value] : value;

/** The same field under another name, which newer libraries write. @throws ModelError INVALID_MODEL_CONFIG where both are there and differ */
export function withAlias(config: unknown, field: string, alias: string): unknown {
  const given = config as Readonly<Record<string, unknown>>;
  if (given[alias] === undefined) return config;
  if (given[field] === undefined) return { ...given, [field]: given[alias] };
  requireConfig(
    given[field] === given[alias],
    `${field} is ${shown(given[field])} and ${alias}, its other name, ${shown(given[alias])}; leave one of them out`,
  );
  return config;
}

/** How many experts there are over all layers. */
export function requireExperts(numExperts: number, numLayers: number): void {
  const problem = expertsProblem(numExperts, numLayers);
  requireConfig(problem === null, `${problem}; compare it with the checkpoint's original config.json`);
}

/** Why there can't be so many; null: there can. */
export const expertsProblem = (numExperts: number, numLayers: number): string | null =>
  numExperts * numLayers <= MAX_EXPERTS
    ? null
    : `${numLayers} layers of ${numExperts} experts are more than ${MAX_EXPERTS} experts`;

/** The ends that generation_config.json names. @throws ModelError INVALID_MODEL_CONFIG */
export function generationEosTokenIds(config: Readonly<Record<string, unknown>> | undefined): readonly number[] {
  const given = config?.eos_token_id;
  const parsed = END_TOKENS.safeParse(given);
  if (parsed.success) return eosTokenIds(parsed.data);
  const message = `generation_config.json: eos_token_id is ${shown(given)}; give a token id, a list of them or null`;
  throw new ModelError('INVALID_MODEL_CONFIG', message);
}

/** A rule between two fields. */
export function requireConfig(isValid: boolean, message: string): void {
  if (!isValid) throw new ModelError('INVALID_MODEL_CONFIG', `config.json: ${message}`);
}
