/** `'…{}…'.format(…)` and its small language of formats. Pure. Source: docs.python.org, Format Specification Mini-Language */
import { numberOf } from './compare.js';
import { failed } from './errors.js';
import { numCharacters } from './iterate.js';
import { exponential, fixed, general, inBase } from './number_format.js';
import { reprOf, textOf } from './text.js';
import { typeName, Undefined, type Arguments, type Value } from './values.js';

/** How fields like `{a.b[0]}` find their values. */
export interface FieldAccess {
  readonly attributeOf: (object: Value, name: string) => Value;
  readonly itemOf: (object: Value, index: Value) => Value;
}

/** @throws TemplateError TEMPLATE_FAILED where a field has no value, or a format doesn't fit its value */
export function braceFormatted(format: string, args: Arguments, access: FieldAccess): string {
  return new BraceFormat(args, access).text(format, 2);
}

const FIELD = /^([^.[!:{}]*)((?:\.[^.[!:{}]+|\[[^\]]+\])*)(?:!([rsa]))?(?::([^]*))?$/;

class BraceFormat {
  private numAutomatic = 0;

  constructor(
    private readonly args: Arguments,
    private readonly access: FieldAccess,
  ) {}

  text(format: string, depth: number): string {
    if (depth === 0) throw failed('Max string recursion exceeded');
    let text = '';
    for (let i = 0; i < format.length; i++) {
      const character = format[i]!;
      if (character !== '{' && character !== '}') text += character;
      else if (format[i + 1] === character) text += format[i++]!;
      else if (character === '}') throw failed("Single '}' encountered in format string");
      else {
        const end = fieldEnd(format, i);
        text += this.field(format.slice(i + 1, end), depth);
        i = end;
      }
    }
    return text;
  }

  private field(field: string, depth: number): string {
    const match = FIELD.exec(field);
    if (match === null) throw failed(`the field '{${field}}' of a format string is malformed`);
    const [, name = '', path = '', conversion, format = ''] = match;
    let value = this.named(name);
    for (const [part] of path.matchAll(/\.[^.[]+|\[[^\]]+\]/g)) {
      if (part.startsWith('.')) value = this.access.attributeOf(value, part.slice(1));
      else value = this.access.itemOf(value, /^\[\d+\]$/.test(part) ? BigInt(part.slice(1, -1)) : part.slice(1, -1));
    }
    if (conversion !== undefined) value = conversion === 's' ? textOf(value) : reprOf(value);
    return formatted(value, format.includes('{') ? this.text(format, depth - 1) : format);
  }

  private named(name: string): Value {
    const place = name === '' ? this.numAutomatic++ : /^\d+$/.test(name) ? Number(name) : null;
    const value = place === null ? this.args.named.get(name) : this.args.positional[place];
    if (value !== undefined) return value;
    throw failed(place === null ? `KeyError: '${name}'` : 'Replacement index out of range for positional args tuple');
  }
}

function fieldEnd(format: string, begin: number): number {
  let depth = 0;
  for (let i = begin; i < format.length; i++) {
    if (format[i] === '{') depth++;
    if (format[i] === '}' && --depth === 0) return i;
  }
  throw failed("expected '}' before end of string");
}

const SPEC = /^(?:(.)?([<>=^]))?([-+ ])?(z)?(#)?(0)?(\d{1,5})?([,_])?(?:\.(\d{1,5}))?([bcdeEfFgGnosxX%])?$/su;

interface Spec {
  readonly fill: string;
  readonly align: string | undefined;
  readonly sign: string;
  readonly isAlternate: boolean;
  readonly width: number;
  readonly group: string;
  readonly digits: number | null;
  readonly type: string | undefined;
}

/** `format(value, spec)` @throws TemplateError TEMPLATE_FAILED */
export function formatted(value: Value, spec: string): string {
  if (spec === '') return textOf(value);
  if (value instanceof Undefined) throw value.error;
  const match = SPEC.exec(spec);
  const x = numberOf(value);
  if (match === null || (x === null && typeof value !== 'string')) {
    throw failed(`Invalid format specifier '${spec}' for object of type '${typeName(value)}'`);
  }
  const [, fill, align, sign = '-', , alternate, zero, width, group = '', digits, type] = match;
  const parsed: Spec = {
    fill: fill ?? (zero === undefined ? ' ' : '0'),
    align: align ?? (zero === undefined ? undefined : '='),
    sign,
    isAlternate: alternate !== undefined,
    width: Number(width ?? 0),
    group,
    digits: digits === undefined ? null : Number(digits),
    type,
  };
  return x === null ? ofText(value as string, parsed) : ofNumber(value, x, parsed);
}

function ofText(text: string, { digits, type, align = '<', ...spec }: Spec): string {
  if ((type !== undefined && type !== 's') || align === '=') throw failed('Invalid format specifier for a str');
  return aligned('', digits === null ? text : Array.from(text).slice(0, digits).join(''), { ...spec, align });
}

function ofNumber(value: Value, x: bigint | number, spec: Spec): string {
  const { type, sign, isAlternate, group, align = '>' } = spec;
  if (type === 's' || (typeof x === 'number' && type !== undefined && /[bcdoxX]/.test(type))) {
    throw failed(`Unknown format code '${type}' for object of type '${typeName(value)}'`);
  }
  const isNegative = x < 0 || Object.is(x, -0);
  const size =
    typeof x === 'bigint' && (type === undefined || /[bcdnoxX]/.test(type)) ? integer(x, spec) : float(Number(x), spec);
  const isBase = type !== undefined && /[boxX]/.test(type);
  const prefix = (isNegative ? '-' : sign === '-' ? '' : sign) + (isAlternate && isBase ? `0${type}` : '');
  const [, digits = '', rest = ''] = /^(\d*|[\da-fA-F]+)((?:\D.*)?)$/s.exec(size) ?? [];
  const grouped = (text: string): string => text.replace(isBase ? /(?<=.)(?=(.{4})+$)/g : /(?<=.)(?=(.{3})+$)/g, group);
  if (group !== '' && align === '=' && spec.fill === '0') {
    let filled = digits;
    while ((prefix + grouped(filled) + rest).length < spec.width) filled = `0${filled}`;
    return prefix + grouped(filled) + rest;
  }
  return aligned(prefix, group === '' ? size : grouped(digits) + rest, { fill: spec.fill, width: spec.width, align });
}

function integer(x: bigint, { type = 'd' }: Spec): string {
  const size = x < 0n ? -x : x;
  if (type === 'c') return String.fromCodePoint(Number(size));
  const text = inBase(size, type === 'n' ? 'd' : type.toLowerCase());
  return type === 'X' ? text.toUpperCase() : text;
}

function float(x: number, { type, digits, isAlternate }: Spec): string {
  const size = Math.abs(x);
  if (!Number.isFinite(x)) return Number.isNaN(x) ? 'nan' : 'inf';
  if (type === '%') return `${fixed(size * 100, digits ?? 6)}%`;
  if (type === undefined && digits === null) return textOf(size);
  const kind = type?.toLowerCase() ?? 'g';
  const text =
    kind === 'f'
      ? fixed(size, digits ?? 6)
      : kind === 'e'
        ? exponential(size, digits ?? 6)
        : general(size, digits ?? 6, isAlternate);
  if (type === undefined) return /[.e]/.test(text) ? text : `${text}.0`;
  return type === kind ? text : text.toUpperCase();
}

function aligned(
  prefix: string,
  text: string,
  { fill, width, align }: Pick<Spec, 'fill' | 'width'> & { readonly align: string },
): string {
  const missing = Math.max(0, width - numCharacters(prefix + text));
  if (align === '=') return prefix + fill.repeat(missing) + text;
  const left = align === '<' ? 0 : align === '>' ? missing : Math.floor(missing / 2);
  return fill.repeat(left) + prefix + text + fill.repeat(missing - left);
}
