/** A part of an experiment's file that a schema checks, with messages as configurations have them. */
import { closest } from 'fastest-levenshtein';
import type * as z from 'zod';
import { shown } from '../../../base/foreign_text.js';
import { valueAt } from '../../../base/foreign_value.js';
import { ConfigError, type ConfigErrorCode } from '../../config/errors.js';
import { isNear, pathText, type Origin } from '../../config/layers.js';
import { nearestChoice, typeOf } from '../../config/schema_error.js';
import { infoAt, keysIn } from '../../config/key_types.js';

type Path = readonly PropertyKey[];

/** Where things of a file stand. */
export type OriginOf = (path: Path) => Origin;

/** Which part it is. */
export interface Part {
  /** Its own path, the file's whole: []. */
  readonly path: Path;
  /** Where something stands, by its path from the file's root. */
  readonly originOf: OriginOf;
  /** What the whole is. Default: an experiment. */
  readonly what?: string;
}

/** @throws ConfigError with the line of what is wrong, and what was probably meant */
export function checkedPart<T extends z.ZodType>(schema: T, value: unknown, part: Part): z.infer<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { issues } = result.error;
  // What is missing may stand there under a name that is nearly its own.
  const first = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0]!;
  throw errorOf(innermost(first), schema, value, part);
}

/** An error at a path of the file. */
export function errorAt(originOf: OriginOf, path: Path, code: ConfigErrorCode, text: string): ConfigError {
  const { where, file, line } = originOf(path);
  return new ConfigError(code, `${where}: ${text}`, { key: pathText(path), file, line });
}

/** `, did you mean "…"?` or what else helps, for a name that isn't there. */
export function nearestOf(name: string, names: readonly string[], otherwise: string): string {
  const nearest = names.length === 0 ? '' : closest(name, names);
  return nearest !== '' && isNear(name, nearest) ? `did you mean "${nearest}"?` : otherwise;
}

type Issue = z.core.$ZodIssue;

/** Of a refinement that says nothing: what the key allows says it. */
const NO_MESSAGE = 'Invalid input';

/** Of alternatives, the one that fits farthest in says best what is wrong. */
function innermost(issue: Issue): Issue {
  if (issue.code !== 'invalid_union') return issue;
  const inner = issue.errors.flatMap(([first]) => (first === undefined ? [] : [innermost(first)]));
  const deepest = inner.toSorted((a, b) => rankOf(b) - rankOf(a))[0];
  return deepest === undefined || rankOf(deepest) === 0
    ? issue
    : { ...deepest, path: [...issue.path, ...deepest.path] };
}

/** An unknown key is about the mapping, and so about something in it. */
const rankOf = (issue: Issue): number => issue.path.length + (issue.code === 'unrecognized_keys' ? 1 : 0);

function errorOf(
  issue: Issue,
  schema: z.ZodType,
  value: unknown,
  { path: above, originOf, what = 'an experiment' }: Part,
): ConfigError {
  const path = [...above, ...issue.path];
  const fail = (code: ConfigErrorCode, text: string, at: Path = path): ConfigError => errorAt(originOf, at, code, text);
  if (issue.code === 'unrecognized_keys') {
    const name = issue.keys[0]!;
    const known = keysIn(schema, issue.path);
    const place = path.length === 0 ? what : `"${pathText(path)}"`;
    const advice = nearestOf(name, known, 'remove it');
    const keys = known.length === 0 ? 'it has none' : `its keys are ${known.join(', ')}`;
    return fail('UNKNOWN_KEY', `there is no key "${name}" in ${place}; ${advice} (${keys})`, [...path, name]);
  }
  const got = valueAt(value, issue.path);
  const key = pathText(path);
  const info = infoAt(schema, issue.path);
  if (issue.code === 'custom' && issue.message !== NO_MESSAGE)
    return fail('INVALID_VALUE', key === '' ? issue.message : `"${key}": ${issue.message}`);
  const allowed = info?.allowed ?? (keysIn(schema, issue.path).join(', ') || issue.message);
  if (got === undefined) return fail('MISSING_KEY', `"${key}" is missing; give ${allowed}`);
  const isRightType = info === undefined || info.types.some((type) => type === typeOf(got));
  const text = `"${key === '' ? 'the file' : key}" is ${shown(got)}${nearestChoice(issue, got)}; allowed is ${allowed}`;
  return fail(isRightType ? 'INVALID_VALUE' : 'WRONG_TYPE', text);
}
