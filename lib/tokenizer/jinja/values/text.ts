/** Values as text: `str` and `repr` of Python. Pure. */
import { Attributed, Callable, Dict, Lazy, Range, Tuple, Undefined, View, type Value } from './values.js';

/** `str(value)`, which is what a template prints. */
export function textOf(value: Value): string {
  if (typeof value === 'string') return value;
  return value instanceof Undefined ? '' : reprOf(value);
}

/** `repr(value)` */
export function reprOf(value: Value): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'string') return quoted(value);
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number') return floatText(value);
  if (value instanceof Undefined) return 'Undefined';
  if (value instanceof Dict) {
    return `{${value
      .entries()
      .map(([key, item]) => `${reprOf(key)}: ${reprOf(item)}`)
      .join(', ')}}`;
  }
  if (value instanceof Tuple) return `(${listText(value.items)}${value.items.length === 1 ? ',' : ''})`;
  if (value instanceof View) return `dict_${value.kind}([${listText(value.items())}])`;
  if (value instanceof Range) {
    return `range(${value.start}, ${value.stop}${value.step === 1n ? '' : `, ${value.step}`})`;
  }
  return objectText(value);
}

function objectText(value: Callable | Lazy | Attributed | readonly Value[]): string {
  if (value instanceof Callable) return `<function ${value.name}>`;
  if (value instanceof Lazy) return `<generator object ${value.what}>`;
  return value instanceof Attributed ? `<${value.what}>` : `[${listText(value)}]`;
}

const listText = (items: readonly Value[]): string => items.map(reprOf).join(', ');

/** `repr` of a float: the shortest digits that give it back, with an exponent below 1e-4 and from 1e16. */
export function floatText(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf';
  if (Object.is(value, -0)) return '-0.0';
  const size = Math.abs(value);
  if (size === 0 || (size >= 1e-4 && size < 1e16)) {
    const text = String(value);
    return text.includes('.') ? text : `${text}.0`;
  }
  return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
}

/** What `repr` writes in another way: quotes, backslashes, and what can't be printed. */
const UNPRINTED = /[\\'\p{C}\p{Z}]/gu;
const ESCAPED: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t', ' ': ' ' };

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const body = text.replace(UNPRINTED, (character) => {
    if (character === "'") return quote === "'" ? "\\'" : "'";
    return ESCAPED[character] ?? hexEscape(character.codePointAt(0)!);
  });
  return quote + body + quote;
}

function hexEscape(code: number): string {
  const hex = code.toString(16);
  if (code < 0x100) return `\\x${hex.padStart(2, '0')}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
}
