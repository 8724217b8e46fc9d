/** Experiments with config.json: fields that the configuration sets to something else. Pure. */
import { closest, distance } from 'fastest-levenshtein';
import { ModelError } from './errors.js';

type Fields = Readonly<Record<string, unknown>>;

/** config.json with these fields instead: mappings are merged key by key, anything else takes the old one's place. */
export function withOverrides(config: Fields, overrides: Fields): Fields {
  const changed = Object.entries(overrides).map(([key, value]) => {
    const old = config[key];
    return [key, isMapping(old) && isMapping(value) ? withOverrides(old, value) : value];
  });
  return { ...config, ...(Object.fromEntries(changed) as Fields) };
}

/** @param known fields that the family reads. @throws ModelError INVALID_MODEL_CONFIG for an override that changes nothing that anybody reads */
export function checkOverrides(overrides: Fields, config: Fields, known: readonly string[]): void {
  const unread = Object.keys(overrides).find((key) => !Object.hasOwn(config, key) && !known.includes(key));
  if (unread === undefined) return;
  const nearest = closest(unread, [...known, ...Object.keys(config)]);
  const advice =
    distance(unread, nearest) <= Math.max(2, unread.length / 2.5) ? `did you mean "${nearest}"?` : 'remove it';
  throw new ModelError(
    'INVALID_MODEL_CONFIG',
    `model_overrides.${unread}: config.json has no such field, and its family reads none; ${advice}`,
  );
}

const isMapping = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
