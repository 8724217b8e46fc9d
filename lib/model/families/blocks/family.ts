/** What a family is to the registry. */
import type * as z from 'zod';
import { parseHfConfig, withAlias } from '../../spec/hf_config.js';
import { refuseMechanisms } from '../../spec/mechanisms.js';
import type { ModelSpec } from '../../spec/spec.js';

/** A model from a parsed config.json. @throws ModelError UNSUPPORTED_MODEL, INVALID_MODEL_CONFIG */
export interface Family {
  (config: unknown): ModelSpec;
  /** Of config.json that it reads. */
  readonly fields: readonly string[];
  /** Other names of some of them. */
  readonly aliases?: readonly string[];
  /** The family that reads text_config. */
  readonly text?: Family;
}

/** Fields by the other name that newer libraries write or take. */
export type Aliases = Readonly<Record<string, string>>;

/** A family whose fields are checked by `schema` and become a spec by `specOf`, with the defaults of Hugging Face's library. */
export function family<S extends z.ZodObject>(
  modelType: string,
  schema: S,
  specOf: (fields: z.infer<S>) => Omit<ModelSpec, 'modelType'>,
  aliases: Aliases = {},
): Family {
  const fields = Object.keys(schema.shape);
  const read = (config: unknown): ModelSpec => {
    const named = Object.entries(aliases).reduce((known, [field, alias]) => withAlias(known, field, alias), config);
    refuseMechanisms(modelType, named, fields);
    return { modelType, ...specOf(parseHfConfig(modelType, schema, named)) };
  };
  return Object.assign(read, { fields, aliases: Object.values(aliases) });
}
