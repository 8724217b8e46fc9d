/** Keys that several measures have. */
import * as z from 'zod';
import { key } from '../../config/key_types.js';
import type { Json } from '../base/run.js';

const json: z.ZodType<Json> = z.json();

/**
 * Keys of a configuration that is laid over the run's own: nested, or by their whole names, 'comm.reduce'; `model_overrides: null` is the model as its folder has
 * it, whatever the run overrides. Beside `MeasureInfo.configs` a plan has the whole
 * configuration in its place.
 */
export const configKeys = () =>
  key(z.record(z.string(), json), 'a mapping of keys of the configuration to values', 'mapping');

/** The path of a file. Beside `MeasureInfo.files` it is absolute in a plan, and the file is there. */
export const filePath = () => key(z.string().min(1), 'the path of a file', 'string');

/** A text, with a name or without one, or token ids of at least so many. */
export const labelledText = (leastTokens: number) => {
  const label = z.string().min(1).optional();
  return z.union([
    z.string().min(1),
    z.strictObject({ label, text: z.string().min(1) }),
    z.strictObject({ label, token_ids: z.array(z.int().min(0)).min(leastTokens) }),
  ]);
};
