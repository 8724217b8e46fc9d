/** What a schema found, in the words of the configuration. */
import { closest } from 'fastest-levenshtein';
import * as z from 'zod';
import { shown } from '../../base/foreign_text.js';
import { valueAt } from '../../base/foreign_value.js';
import { ConfigError } from './errors.js';
import type { ValueType } from './key_types.js';
import { isNear, pathText, type Merged, type Origin } from './layers.js';
import { keyInfoOf, keysAt } from './schema.js';

/** The first problem that the schema found, in the words of this layer. */
export function errorOfIssue(issue: z.core.$ZodIssue, merged: Merged, isCommandLine: boolean): ConfigError {
  const key = pathText(issue.path);
  const got = valueAt(merged.tree, issue.path);
  const origin = merged.originOf(issue.path);
  const { allowed, types } = keyInfoOf(issue.path) ?? { allowed: 'a mapping', types: [] };
  const context = { key, file: origin?.file, line: origin?.line };
  if (origin === undefined) {
    const how = isCommandLine
      ? '--model DIR, or a configuration that has it (--config FILE)'
      : 'base.model, or a file that has it';
    return new ConfigError('MISSING_KEY', `"${key}" was not given; give ${how}: ${allowed}`, context);
  }
  if (issue.code === 'unrecognized_keys') return unknownKeyOf(issue, key, origin);
  const wrong = issue.path[0] === 'plugins' ? placeOfNoJson(got) : null;
  if (wrong?.path[0] === 'options') {
    const text = `${origin.where}: "${pathText([...issue.path, ...wrong.path])}" is ${shown(wrong.value)}; allowed is what JSON has, with finite numbers`;
    return new ConfigError('INVALID_VALUE', text, context);
  }
  const isInList = typeof issue.path.at(-1) === 'number';
  const isRightType = isInList || types.some((type) => type === typeOf(got));
  return new ConfigError(
    isRightType ? 'INVALID_VALUE' : 'WRONG_TYPE',
    `${origin.where}: "${key}" is ${shown(got)}${nearestChoice(issue, got)}; allowed is ${allowed}`,
    context,
  );
}

/** In a list: layers know the others. */
function unknownKeyOf(
  { keys: [name = ''], path }: z.core.$ZodIssueUnrecognizedKeys,
  at: string,
  { where, file, line }: Origin,
): ConfigError {
  const known = keysAt(path);
  const nearest = closest(name, known);
  const advice = isNear(name, nearest) ? `did you mean "${nearest}"?` : 'remove it';
  const text = `${where}: there is no key "${name}" in "${at}"; ${advice} (its keys are ${known.join(', ')})`;
  return new ConfigError('UNKNOWN_KEY', text, { key: `${at}.${name}`, file, line });
}

interface Place {
  readonly path: readonly PropertyKey[];
  readonly value: unknown;
}

/** The first thing in a value that JSON can't hold. */
function placeOfNoJson(value: unknown, path: readonly PropertyKey[] = []): Place | null {
  if (value === null || typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)) return null;
  if (typeof value !== 'object' || !(Array.isArray(value) || z.core.util.isPlainObject(value))) return { path, value };
  const entries = Array.isArray(value) ? value.map((each, i) => [i, each] as const) : Object.entries(value);
  for (const [key, each] of entries) {
    const place = placeOfNoJson(each, [...path, key]);
    if (place !== null) return place;
  }
  return null;
}

/** As a schema's keys name it; undefined: none that YAML has. */
export function typeOf(value: unknown): ValueType | undefined {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'list';
  if (typeof value === 'object') return 'mapping';
  const type = typeof value;
  return type === 'string' || type === 'number' || type === 'boolean' ? type : undefined;
}

/** A remark for a value that is nearly one of those that are allowed; '' else. */
export function nearestChoice(issue: z.core.$ZodIssue, got: unknown): string {
  if (issue.code !== 'invalid_value' || typeof got !== 'string') return '';
  const nearest = closest(got, issue.values.map(String));
  return isNear(got, nearest) ? ` (did you mean "${nearest}"?)` : '';
}
