/** What config.json says about rotary position embeddings, in its old spelling (`rope_theta`, `rope_scaling`) and in its new one (`rope_parameters`). */
import * as z from 'zod';
import { ModelError } from './errors.js';
import { count, requireConfig } from './hf_config.js';
import { yarnMscale } from './rope_angles.js';
import type { LongropeSpec, RopeScaling, RopeSpec, YarnSpec } from './spec.js';

/** `dynamic` acts beyond max_position_embeddings alone, and no sequence gets there: it is `default`. */
const ROPE_TYPE = z.enum(['default', 'linear', 'dynamic', 'llama3', 'longrope', 'proportional', 'yarn']);
const positive = z.number().positive();
const pairFactors = z.array(positive).max(65_536).nullish();

const scaling = z.looseObject({
  rope_type: ROPE_TYPE.nullish(),
  type: ROPE_TYPE.nullish(), // the old spelling of rope_type
  rope_theta: positive.nullish(),
  factor: positive.nullish(),
  original_max_position_embeddings: count.optional(),
  partial_rotary_factor: z.number().nullish(),
  attention_factor: z.number().nonnegative().nullish(),
  // yarn
  beta_fast: z.number().nonnegative().nullish(),
  beta_slow: z.number().nonnegative().nullish(),
  mscale: z.number().nullish(),
  mscale_all_dim: z.number().nullish(),
  truncate: z.boolean().optional(),
  // llama3
  low_freq_factor: positive.nullish(),
  high_freq_factor: positive.nullish(),
  // longrope; the two mscale are Phi-3.5-MoE's
  short_factor: pairFactors,
  long_factor: pairFactors,
  short_mscale: positive.nullish(),
  long_mscale: positive.nullish(),
});

/** One spelling, read. */
export type RopeText = z.infer<typeof scaling>;

/** What is read of it. */
export const ROPE_KEYS: readonly string[] = Object.keys(scaling.shape);
/** The fields that hold it. */
export const ROPE_MAPPINGS = ['rope_scaling', 'rope_parameters'] as const;

/** Fields of a family. @param theta where nothing is said */
export const ropeFields = (theta = 10_000) =>
  ({
    rope_theta: positive.nullable().default(theta),
    rope_scaling: scaling.nullish(),
    rope_parameters: scaling.nullish(),
    original_max_position_embeddings: count.optional(),
    partial_rotary_factor: z.number().nullish(),
  }) as const;

/** What {@link ropeFields} read. */
export type RopeFields = z.infer<z.ZodObject<ReturnType<typeof ropeFields>>>;

/** What a family knows beside the fields. */
export interface RopeOptions {
  /** Channels of a head that may be rotated. */
  readonly headDim: number;
  readonly layout: RopeSpec['layout'];
  readonly maxPositions: number;
  /** The share of a head's channels that the family rotates where the fields don't say it; null: always all of them, and another share is refused. */
  readonly share?: number | null;
}

/**
 * Which of a configuration's spellings count, as transformers reads them: `rope_scaling` before `rope_parameters` unless it is empty, a key's own null or 0
 * as its absence where the formula can't take it. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG
 */
export function ropeOf(fields: RopeFields, options: RopeOptions): RopeSpec {
  const given = textInForce(fields);
  const theta = given?.rope_theta ?? fields.rope_theta;
  requireConfig(theta !== null, 'rope_theta is null; give it, or leave it out');
  const type = typeOf(given);
  const share = given?.partial_rotary_factor ?? fields.partial_rotary_factor ?? options.share ?? 1;
  const dim = type === 'proportional' ? options.headDim : rotatedChannels(type, share, options);
  requireConfig(dim > 0 && dim % 2 === 0, `${dim} channels of a head of ${options.headDim} turn; an even number can`);
  return {
    dim,
    theta: theta!,
    layout: options.layout,
    scaling: given ? scalingOf(type, given, { dim, share, fields, options }) : null,
  };
}

/** YaRN's temperature for attention that multiplies its whole logit with it, channels without rotation included (DeepSeek). */
export function logitMscale(fields: RopeFields): number {
  const given = textInForce(fields);
  const allDim = unlessZero(given?.mscale_all_dim);
  if (given === undefined || typeOf(given) === 'default' || allDim === undefined) return 1;
  return yarnMscale(factorOf(given), allDim);
}

/** Undefined where nothing is said. */
function textInForce({ rope_scaling: old, rope_parameters: given }: RopeFields): RopeText | undefined {
  const text = (isEmpty(old) ? given : old) ?? undefined;
  const kind = Object.entries(text ?? {}).find(
    ([, value]) => typeof value === 'object' && value !== null && !Array.isArray(value),
  )?.[0];
  if (kind === undefined) return text;
  const message = `config.json: ${isEmpty(old) ? 'rope_parameters' : 'rope_scaling'}.${kind}: rotations by kind of layer aren't run here; choose a checkpoint without`;
  throw new ModelError('UNSUPPORTED_MODEL', message);
}

const isEmpty = (text: RopeText | null | undefined): boolean =>
  !text || Object.values(text).every((value) => value === undefined);

const typeOf = (text: RopeText | undefined): z.infer<typeof ROPE_TYPE> => text?.rope_type ?? text?.type ?? 'default';

function rotatedChannels(type: string, share: number, { headDim, share: usual = null }: RopeOptions): number {
  if (usual !== null) return Math.trunc(headDim * share);
  if (share === 1 || type === 'default' || type === 'dynamic') return headDim;
  const message = `config.json: partial_rotary_factor is ${share} beside ${type}, which runs with 1; choose a checkpoint of that form`;
  throw new ModelError('UNSUPPORTED_MODEL', message);
}

interface Around {
  readonly dim: number;
  readonly share: number;
  readonly fields: RopeFields;
  readonly options: RopeOptions;
}

function scalingOf(type: string, text: RopeText, around: Around): RopeScaling | null {
  const { dim, share, fields, options } = around;
  const original = fields.original_max_position_embeddings ?? text.original_max_position_embeddings;
  const originalMaxPositions = original ?? options.maxPositions;
  switch (type) {
    case 'linear':
      return { kind: 'linear', factor: factorOf(text) };
    case 'proportional':
      return { kind: 'proportional', numTurning: Math.floor((share * dim) / 2), factor: text.factor ?? 1 };
    case 'llama3':
      return {
        kind: 'llama3',
        factor: factorOf(text),
        lowFreqFactor: needed(text, 'low_freq_factor', text.low_freq_factor),
        highFreqFactor: needed(text, 'high_freq_factor', text.high_freq_factor),
        originalMaxPositions,
      };
    case 'longrope':
      return longropeOf(text, dim, originalMaxPositions, options.maxPositions);
    case 'yarn':
      return yarnOf(text, originalMaxPositions, options.maxPositions);
    default:
      return null;
  }
}

function yarnOf(text: RopeText, originalMaxPositions: number, maxPositions: number): YarnSpec {
  requireConfig(text.factor !== undefined, 'rope_scaling is yarn without a factor; add it');
  return {
    kind: 'yarn',
    factor: text.factor ?? maxPositions / originalMaxPositions,
    originalMaxPositions,
    betaFast: unlessZero(text.beta_fast) ?? 32,
    betaSlow: unlessZero(text.beta_slow) ?? 1,
    mscale: unlessZero(text.mscale) ?? null,
    mscaleAllDim: unlessZero(text.mscale_all_dim) ?? null,
    truncate: text.truncate ?? true,
    attentionFactor: text.attention_factor ?? null,
  };
}

function longropeOf(text: RopeText, dim: number, originalMaxPositions: number, maxPositions: number): LongropeSpec {
  const factor = text.factor ?? maxPositions / originalMaxPositions;
  const usual = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalMaxPositions));
  const attentionFactor = text.attention_factor ?? usual;
  const factors = (key: 'short_factor' | 'long_factor', mscale: number | null | undefined) => {
    const ofPairs = needed(text, key, text[key]);
    requireConfig(ofPairs.length === dim / 2, `${key} has ${ofPairs.length} numbers, and ${dim / 2} pairs turn`);
    return { ofPairs, attentionFactor: mscale ?? attentionFactor };
  };
  return {
    kind: 'longrope',
    originalMaxPositions,
    short: factors('short_factor', text.short_mscale),
    long: factors('long_factor', text.long_mscale),
    inForce: maxPositions <= originalMaxPositions ? 'short' : 'long',
  };
}

const factorOf = (text: RopeText): number => needed(text, 'factor', text.factor);

/** @throws ModelError INVALID_MODEL_CONFIG where the formula needs it */
function needed<T>(text: RopeText, key: string, value: T | null | undefined): T {
  if (value !== undefined && value !== null) return value;
  throw new ModelError(
    'INVALID_MODEL_CONFIG',
    `config.json: rope_scaling is ${typeOf(text)}, and its ${key} is missing; compare it with the checkpoint's original config.json`,
  );
}

/** The reference takes 0 for not given. */
const unlessZero = (value: number | null | undefined): number | undefined =>
  value === 0 ? undefined : (value ?? undefined);
