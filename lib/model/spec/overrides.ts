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

/**
 * @param known fields that the family reads
 * @param inText those that it reads in text_config, if it has one
 * @throws ModelError INVALID_MODEL_CONFIG for an override that changes nothing that anybody reads
 */
export function checkOverrides(overrides: Fields, known: readonly string[], inText: readonly string[] = []): void {
  const nested = inText.map((field) => `text_config.${field}`);
  const { text_config: text } = overrides;
  const given = [
    ...Object.keys(overrides),
    ...(nested.length > 0 && isMapping(text) ? Object.keys(text).map((key) => `text_config.${key}`) : []),
  ];
  const unread = given.find((key) => !known.includes(key) && !nested.includes(key));
  if (unread === undefined) return;
  const inner = nested.find((key) => key === `text_config.${unread}`);
  const nearest = inner ?? closest(unread, [...known, ...nested]);
  const isNear = inner !== undefined || distance(unread, nearest) <= Math.max(2, unread.length / 2.5);
  const advice = isNear ? `did you mean "${nearest}"?` : 'remove it';
  throw new ModelError(
    'INVALID_MODEL_CONFIG',
    `model_overrides.${unread}: the model's family reads no such field; ${advice}`,
  );
}

const isMapping = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
