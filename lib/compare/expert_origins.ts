/** What a config.json says of the experts that a checkpoint's were chosen from. */
import type { ModelSpec } from '../model/spec/spec.js';
import { readModelFiles, type JsonObject } from '../weights/model_files.js';
import type { ComparedModel } from './comparison_plan.js';
import type { ExpertOrigins } from './routing_agreement.js';

/** A model folder that was opened. @throws WeightError where its config.json can't be read any more */
export const comparedModel = async (dir: string, spec: ModelSpec): Promise<ComparedModel> => ({
  spec,
  origins: expertOriginsOf((await readModelFiles(dir)).config),
});

/** `expertwire.prune.kept` as `expertwire prune` writes it; null where there is none, or none that can be read. */
export function expertOriginsOf(config: JsonObject): ExpertOrigins {
  const { prune } = objectOf(config.expertwire);
  const { kept } = objectOf(prune);
  return isTable(kept) ? kept : null;
}

const objectOf = (value: unknown): JsonObject =>
  typeof value === 'object' && value !== null ? (value as JsonObject) : {};

const isTable = (value: unknown): value is number[][] =>
  Array.isArray(value) &&
  value.every((row) => Array.isArray(row) && row.length > 0 && row.every((id) => Number.isInteger(id) && id >= 0));
