/** `json.dumps`, as transformers' filter `tojson` calls it. Pure. */
import { escaped } from '../../../../base/foreign_text.js';
import { compare } from '../values/compare.js';
import { failed } from '../values/errors.js';
import { floatText } from '../values/text.js';
import { Dict, Tuple, typeName, type Value } from '../values/values.js';

/** How JSON is written; defaults are Python's, but for `isAscii`. */
export interface JsonOptions {
  /** Write other characters than ASCII as \u….  Default: no. */
  readonly isAscii: boolean;
  /** What is put before each level of a value on lines of its own; null: all on one line. */
  readonly indent: string | null;
  /** Between members, and behind keys. */
  readonly separators: readonly [string, string];
  readonly sortKeys: boolean;
}

/** @throws TemplateError TEMPLATE_FAILED for what JSON doesn't have */
export function jsonOf(value: Value, options: JsonOptions, depth = 0): string {
  if (value === null || typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (typeof value === 'number') return numberText(value);
  if (typeof value === 'string') return stringText(value, options.isAscii);
  const members = membersOf(value, options, depth + 1);
  const [begin, end] = value instanceof Dict ? '{}' : '[]';
  if (members.length === 0) return `${begin}${end}`;
  const { indent, separators } = options;
  if (indent === null) return `${begin}${members.join(separators[0])}${end}`;
  const line = `\n${indent.repeat(depth + 1)}`;
  return `${begin}${line}${members.join(separators[0] + line)}\n${indent.repeat(depth)}${end}`;
}

function membersOf(value: Value, options: JsonOptions, depth: number): string[] {
  if (Array.isArray(value)) return (value as readonly Value[]).map((item) => jsonOf(item, options, depth));
  if (value instanceof Tuple) return value.items.map((item) => jsonOf(item, options, depth));
  if (!(value instanceof Dict)) throw failed(`Object of type ${typeName(value)} is not JSON serializable`);
  const entries = [...value.entries()];
  if (options.sortKeys) entries.sort(([a], [b]) => compare(a, b));
  return entries.map(
    ([key, item]) => stringText(keyText(key), options.isAscii) + options.separators[1] + jsonOf(item, options, depth),
  );
}

function keyText(key: Value): string {
  if (typeof key === 'string') return key;
  if (key === null || typeof key === 'boolean' || typeof key === 'bigint') return String(key);
  if (typeof key === 'number') return numberText(key);
  throw failed(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return floatText(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity';
}

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};
const SPECIAL = /["\\]|(?![\x7f-\x9f])\p{Cc}/gu;
const NOT_ASCII = /["\\]|[^ -~]/g;

const stringText = (text: string, isAscii: boolean): string =>
  `"${text.replace(isAscii ? NOT_ASCII : SPECIAL, (unit) => ESCAPES[unit] ?? escaped(unit))}"`;
