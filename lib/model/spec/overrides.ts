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

/** What may stand in a mapping: in a mapping inside it, only what the entry says; anything where there is no entry. */
export interface Known {
  readonly fields: readonly string[];
  readonly inside: Readonly<Record<string, Known>>;
}

/** @throws ModelError INVALID_MODEL_CONFIG for an override that changes nothing that anybody reads */
export function checkOverrides(overrides: Fields, known: Known): void {
  const all = pathsOf(known);
  const unread = givenPaths(overrides, known).find((path) => !all.includes(path));
  if (unread === undefined) return;
  const inner = all.find((path) => path.endsWith(`.${unread}`));
  const nearest = inner ?? closest(unread, all);
  const isNear = inner !== undefined || distance(unread, nearest) <= Math.max(2, unread.length / 2.5);
  const advice = isNear ? `did you mean "${nearest}"?` : 'remove it';
  throw new ModelError(
    'INVALID_MODEL_CONFIG',
    `model_overrides.${unread}: the model's family reads no such field; ${advice}`,
  );
}

const pathsOf = ({ fields, inside }: Known): string[] => [
  ...fields,
  ...Object.entries(inside).flatMap(([field, known]) => pathsOf(known).map((path) => `${field}.${path}`)),
];

function givenPaths(overrides: Fields, { inside }: Known): string[] {
  return Object.entries(overrides).flatMap(([field, value]) => {
    const known = Object.hasOwn(inside, field) ? inside[field] : undefined;
    if (known === undefined || !isMapping(value)) return [field];
    return [field, ...givenPaths(value, known).map((path) => `${field}.${path}`)];
  });
}

const isMapping = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
