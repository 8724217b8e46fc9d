/** What config.json says of a checkpoint with fewer experts. Pure. */
import { modelSpecOf } from '../model/families/registry.js';
import { ModelError } from '../model/spec/errors.js';
import type { JsonEdit } from '../rewrite/json_edit.js';
import type { JsonObject } from '../weights/model_files.js';

/** What families call the number of experts of a layer. */
const COUNT_KEYS = ['num_experts', 'n_routed_experts', 'num_local_experts', 'moe_num_experts'];
/** What they call that of layers for multi-token prediction, which aren't taken over. */
const PREDICTOR_KEYS = ['num_nextn_predict_layers', 'mtp_num_hidden_layers', 'num_mtp_modules', 'mtp_num_layers'];

/**
 * Changes of config.json, so that it says `numKept` experts instead of so many.
 * @throws ModelError UNSUPPORTED_MODEL where it names single experts, or its family counts them in another way
 */
export function prunedConfig(config: JsonObject, numExperts: number, numKept: number): JsonEdit[] {
  refuseSingleExperts(config);
  const paths = placesIn(config).flatMap((place) => [
    ...keysIn(config, place, COUNT_KEYS, numExperts).map((path) => ({ path, value: numKept })),
    ...keysIn(config, place, PREDICTOR_KEYS).map((path) => ({ path, value: 0 })),
  ]);
  // Where config.json leaves it to the family's default, it has to say it now.
  const added = placesIn(config).flatMap((place) =>
    COUNT_KEYS.map((key): JsonEdit => ({ path: [...place, key] as unknown as JsonEdit['path'], value: numKept })),
  );
  const found = [paths, ...added.map((edit) => [...paths, edit])].find(
    (edits) => modelSpecOf(withEdits(config, edits)).moe.gate.numExperts === numKept,
  );
  if (found !== undefined) return found;
  const text = `config.json says in a way of its own how many experts a layer has, not by ${COUNT_KEYS.join(', ')}; use a checkpoint that does`;
  throw new ModelError('UNSUPPORTED_MODEL', text);
}

/** The outermost object, and that of the part that reads text. */
const placesIn = (config: JsonObject): (readonly string[])[] =>
  typeof config.text_config === 'object' && config.text_config !== null ? [[], ['text_config']] : [[]];

function keysIn(
  config: JsonObject,
  place: readonly string[],
  keys: readonly string[],
  value?: number,
): JsonEdit['path'][] {
  const object = at(config, place);
  const isThere = (key: string): boolean =>
    typeof object[key] === 'number' && (value === undefined || object[key] === value);
  return keys.filter(isThere).map((key) => [...place, key] as unknown as JsonEdit['path']);
}

const at = (config: JsonObject, place: readonly string[]): JsonObject =>
  place.reduce((object, key) => object[key] as JsonObject, config);

function withEdits(config: JsonObject, edits: readonly JsonEdit[]): JsonObject {
  const edited = structuredClone(config) as Record<string, unknown>;
  for (const { path, value } of edits) (at(edited, path.slice(0, -1)) as Record<string, unknown>)[path.at(-1)!] = value;
  return edited;
}

/** They would be others afterwards. */
function refuseSingleExperts({ quantization_config: config = null }: JsonObject): void {
  const found = /[\w.]*experts(?:\.|\\+\.)\d+[\w.]*/.exec(JSON.stringify(config));
  if (found === null) return;
  const text = `quantization_config names a single expert, ${found[0]}, which is another one when experts are taken out; prune the checkpoint before it is quantised`;
  throw new ModelError('UNSUPPORTED_MODEL', text);
}
