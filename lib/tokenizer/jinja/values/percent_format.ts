/** `text % values`, as Python has it. Pure. */
import { numberOf } from './compare.js';
import { failed } from './errors.js';
import { numCharacters } from './iterate.js';
import { exponential, fixed, general, inBase } from './number_format.js';
import { floatText, reprOf, textOf } from './text.js';
import { Dict, Range, Tuple, typeName, Undefined, type Value } from './values.js';

const DIRECTIVE = /%(?:\(([^)]*)\))?([-+ 0#]*)(\*|\d+)?(?:\.(\*|\d+)?)?[hlL]?([^])?/g;
/** The most characters that a width or a precision asks for. */
const MAX_WIDTH = 100_000;

/** @throws TemplateError TEMPLATE_FAILED where values are missing, too many, or of a wrong type */
export function percentFormatted(format: string, values: Value): string {
  const list = values instanceof Tuple ? values.items : [values];
  let used = 0;
  const next = (): Value => {
    if (used >= list.length) throw failed('not enough arguments for format string');
    return list[used++]!;
  };
  const text = format.replace(
    DIRECTIVE,
    (whole: string, key: string | undefined, flags: string, width?: string, precision?: string, type?: string) => {
      if (whole === '%%') return '%';
      if (type === undefined) throw failed('incomplete format');
      const wide = sizeOf(width, next);
      const digits = whole.includes('.') ? (sizeOf(precision, next) ?? 0) : null;
      const value = key === undefined ? next() : keyed(values, key);
      return padded(converted(value, type, flags, digits), wide ?? 0, flags);
    },
  );
  const mayBeLeft = values instanceof Dict || values instanceof Range || Array.isArray(values);
  if (used < list.length && !mayBeLeft) throw failed('not all arguments converted during string formatting');
  return text;
}

function sizeOf(text: string | undefined, next: () => Value): number | null {
  if (text === undefined) return null;
  const size = text === '*' ? Number(numberOf(next()) ?? NaN) : Number(text);
  if (Number.isInteger(size) && Math.abs(size) <= MAX_WIDTH) return size;
  throw failed(`a width of ${size} in a format string`);
}

function keyed(values: Value, key: string): Value {
  if (!(values instanceof Dict)) throw failed('format requires a mapping');
  const value = values.get(key);
  if (value === undefined) throw failed(`KeyError: '${key}'`);
  return value;
}

function converted(value: Value, type: string, flags: string, digits: number | null): string {
  switch (type) {
    case 's':
      return cut(textOf(value), digits);
    case 'r':
    case 'a':
      return cut(reprOf(value), digits);
    case 'c':
      return typeof value === 'bigint' ? String.fromCodePoint(Number(value)) : textOf(value);
    default:
      return number(value, type, flags, digits);
  }
}

const cut = (text: string, digits: number | null): string =>
  digits === null ? text : Array.from(text).slice(0, digits).join('');

function number(value: Value, type: string, flags: string, digits: number | null): string {
  if (value instanceof Undefined) throw value.error;
  const x = numberOf(value);
  if (x === null) throw failed(`%${type} format: a real number is required, not ${typeName(value)}`);
  const text = /[diuxXo]/.test(type)
    ? integer(x, type, flags, digits ?? 0)
    : float(Number(x), type, flags, digits ?? 6);
  if (text.startsWith('-')) return text;
  return flags.includes('+') ? `+${text}` : flags.includes(' ') ? ` ${text}` : text;
}

function integer(x: bigint | number, type: string, flags: string, digits: number): string {
  if (typeof x === 'number' && !/[diu]/.test(type)) throw failed(`%${type} format: an integer is required, not float`);
  const whole = typeof x === 'number' ? BigInt(Math.trunc(x)) : x;
  const size = inBase(whole < 0n ? -whole : whole, /[diu]/.test(type) ? 'd' : type.toLowerCase()).padStart(digits, '0');
  const prefix = flags.includes('#') && /[xXo]/.test(type) ? `0${type.toLowerCase()}` : '';
  const text = `${whole < 0n ? '-' : ''}${prefix}${size}`;
  return type === 'X' ? text.toUpperCase() : text;
}

function float(x: number, type: string, flags: string, digits: number): string {
  const kind = type.toLowerCase();
  if (!'feg'.includes(kind)) throw failed(`unsupported format character '${type}'`);
  const write = kind === 'f' ? fixed : kind === 'e' ? exponential : general;
  const text = Number.isFinite(x) ? write(x, digits, flags.includes('#')) : floatText(x);
  return type === kind ? text : text.toUpperCase();
}

function padded(text: string, width: number, flags: string): string {
  const missing = ' '.repeat(Math.max(0, Math.abs(width) - numCharacters(text)));
  if (width < 0 || flags.includes('-')) return text + missing;
  const isNumber = /^[-+ ]?\d/.test(text);
  if (!flags.includes('0') || !isNumber) return missing + text;
  const [sign] = /^[-+ ]?(?:0[xo])?/.exec(text)!;
  return sign + missing.replaceAll(' ', '0') + text.slice(sign.length);
}
