/** Filters of lists, dicts and numbers, as Jinja2 has them. */
import { itemOf } from '../values/access.js';
import { Parameters } from '../values/arguments.js';
import { binary } from '../values/arithmetic.js';
import { compare, isTrue, numberOf } from '../values/compare.js';
import { failed } from '../values/errors.js';
import { getter, listOf, restOf, withoutCase, type Filter, type Filters, type Lookup } from './filter.js';
import { itemsOf, lengthOf } from '../values/iterate.js';
import { fixed } from '../values/number_format.js';
import { textOf } from '../values/text.js';
import { Callable, Dict, Lazy, Tuple, typeName, Undefined, type Arguments, type Value } from '../values/values.js';

const lazy = (what: string, items: readonly Value[]): Lazy => new Lazy(what, items);

/** `select`, `reject` and those of attributes. */
const choice =
  (what: string, isKept: boolean, withAttribute: boolean): Filter =>
  (value, args, lookup) => {
    const attribute = withAttribute ? args.positional[0] : undefined;
    if (withAttribute && attribute === undefined) throw failed('Missing parameter for attribute name');
    const { positional, named } = restOf(args, withAttribute ? 1 : 0);
    const get = getter(attribute);
    const [name] = positional;
    const test = (item: Value): boolean =>
      name === undefined ? isTrue(item) : lookup.test(textOf(name), item, { positional: positional.slice(1), named });
    return lazy(
      what,
      membersIfTrue(value).filter((item) => test(get(item)) === isKept),
    );
  };

/** Filters that go through a value go through nothing where it is false: None, 0. */
const membersIfTrue = (value: Value): readonly Value[] => (isTrue(value) ? itemsOf(value) : []);

const extreme =
  (sign: 1 | -1): Filter =>
  (value, args) => {
    const parameters = new Parameters(sign > 0 ? 'max' : 'min', args, ['case_sensitive', 'attribute']);
    const key = keyOf(parameters);
    const [first, ...rest] = itemsOf(value);
    if (first === undefined) return new Undefined('No aggregated item, sequence was empty.');
    return rest.reduce(
      (best, item) => (compare(key(item), key(best), sign > 0 ? '>' : '<') * sign > 0 ? item : best),
      first,
    );
  };

function keyOf(parameters: Parameters): (item: Value) => Value {
  const get = getter(parameters.value('attribute'));
  return parameters.flag('case_sensitive', false) ? get : (item) => withoutCase(get(item));
}

/** Stable both ways. */
const sorted = (items: readonly Value[], key: (item: Value) => Value, isReverse: boolean): Value[] => {
  const keyed = items.map((item) => ({ item, key: key(item) }));
  keyed.sort((a, b) => (isReverse ? compare(b.key, a.key) : compare(a.key, b.key)));
  return keyed.map(({ item }) => item);
};

const length: Filter = (value) => {
  const count = lengthOf(value);
  if (count === null) throw failed(`object of type '${typeName(value)}' has no len()`);
  return BigInt(count);
};

const fallback: Filter = (value, args) => {
  const parameters = new Parameters('default', args, ['default_value', 'boolean']);
  const isMissing = value instanceof Undefined || (parameters.flag('boolean', false) && !isTrue(value));
  return isMissing ? parameters.valueOr('default_value', '') : value;
};

/** Filters by name. */
export const LIST_FILTERS: Filters = {
  length,
  count: length,
  default: fallback,
  d: fallback,
  list: (value) => listOf(value),
  first: (value) => {
    const items = value instanceof Lazy ? value.iterator.next() : null;
    const first = items === null ? itemsOf(value)[0] : items.done === true ? undefined : items.value;
    return first === undefined ? new Undefined('No first item, sequence was empty.') : first;
  },
  last: (value) => {
    if (value instanceof Lazy) throw failed(`'${typeName(value)}' object is not reversible`);
    const last = itemsOf(value).at(-1);
    return last === undefined ? new Undefined('No last item, sequence was empty.') : last;
  },
  reverse: (value) =>
    typeof value === 'string' ? Array.from(value).reverse().join('') : lazy('reversed', listOf(value).reverse()),
  sort: (value, args) => {
    const parameters = new Parameters('sort', args, ['reverse', 'case_sensitive', 'attribute']);
    const attribute = parameters.value('attribute');
    const gets = typeof attribute === 'string' ? attribute.split(',').map(getter) : [getter(attribute)];
    const isCaseSensitive = parameters.flag('case_sensitive', false);
    const key = (item: Value): Value => gets.map((get) => (isCaseSensitive ? get(item) : withoutCase(get(item))));
    return sorted(itemsOf(value), key, parameters.flag('reverse', false));
  },
  unique: (value, args) => {
    const key = keyOf(new Parameters('unique', args, ['case_sensitive', 'attribute']));
    const seen = new Dict();
    const isNew = (item: Value): boolean => {
      const isIt = !seen.has(key(item));
      seen.set(key(item), null);
      return isIt;
    };
    return lazy('unique', itemsOf(value).filter(isNew));
  },
  min: extreme(-1),
  max: extreme(1),
  sum: (value, args) => {
    const parameters = new Parameters('sum', args, ['attribute', 'start']);
    return itemsOf(value)
      .map(getter(parameters.value('attribute')))
      .reduce((sum, item) => binary('+', sum, item), parameters.valueOr('start', 0n));
  },
  map: (value, args, lookup) => lazy('map', mapped(value, args, lookup)),
  select: choice('select', true, false),
  reject: choice('reject', false, false),
  selectattr: choice('selectattr', true, true),
  rejectattr: choice('rejectattr', false, true),
  items: (value) => {
    if (value instanceof Undefined) return lazy('items', []);
    if (!(value instanceof Dict)) throw failed('Can only get item pairs from a mapping.');
    return lazy(
      'items',
      value.entries().map((pair) => new Tuple(pair)),
    );
  },
  dictsort: (value, args) => {
    const parameters = new Parameters('dictsort', args, ['case_sensitive', 'by', 'reverse']);
    if (!(value instanceof Dict)) throw value instanceof Undefined ? value.error : failed('dictsort needs a dict');
    const by = parameters.text('by', 'key');
    if (by !== 'key' && by !== 'value') throw failed('You can only sort by either "key" or "value"');
    const get = (pair: Value): Value => (pair as Tuple).items[by === 'key' ? 0 : 1]!;
    const key = (pair: Value): Value => (parameters.flag('case_sensitive', false) ? get(pair) : withoutCase(get(pair)));
    return sorted(
      value.entries().map((pair) => new Tuple(pair)),
      key,
      parameters.flag('reverse', false),
    );
  },
  groupby: (value, args) => grouped(value, args),
  batch: (value, args) => {
    const parameters = new Parameters('batch', args, ['linecount', 'fill_with'], 1);
    const size = Math.max(1, parameters.integer('linecount', 1));
    const fill = parameters.valueOr('fill_with', null);
    const items = listOf(value);
    const groups = Array.from({ length: Math.ceil(items.length / size) }, (_, i) =>
      items.slice(i * size, (i + 1) * size),
    );
    const last = groups.at(-1);
    while (fill !== null && last !== undefined && last.length < size) last.push(fill);
    return lazy('batch', groups);
  },
  slice: (value, args) => lazy('slice', slices(listOf(value), args)),
  attr: (value, args) => {
    const name = new Parameters('attr', args, ['name'], 1).text('name', '');
    const found = value instanceof Dict ? itemOf(new Dict(), name) : itemOf(value, name);
    return found instanceof Callable || !(value instanceof Dict) ? found : new Undefined(`no attribute '${name}'`);
  },
  abs: (value) => {
    const number = needNumber('abs', value);
    return number < 0 || Object.is(number, -0) ? -number : number;
  },
  round: (value, args) => rounded(value, args),
  int: (value, args) => toInteger(value, args),
  float: (value, args) => toFloat(value, new Parameters('float', args, ['default']).valueOr('default', 0)),
};

function needNumber(filter: string, value: Value): bigint | number {
  const number = numberOf(value);
  if (number !== null) return number;
  throw value instanceof Undefined
    ? value.error
    : failed(`the filter '${filter}' needs a number, not ${typeName(value)}`);
}

function mapped(value: Value, args: Arguments, lookup: Lookup): Value[] {
  const attribute = args.named.get('attribute');
  if (args.positional.length === 0 && attribute !== undefined) {
    const other = args.named.get('default') ?? null;
    const get = getter(attribute);
    return membersIfTrue(value).map((item) => {
      const found = get(item);
      return found instanceof Undefined && other !== null ? other : found;
    });
  }
  const [name] = args.positional;
  if (name === undefined) throw failed('map requires a filter argument');
  return membersIfTrue(value).map((item) => lookup.filter(textOf(name), item, restOf(args, 1)));
}

function grouped(value: Value, args: Arguments): Value {
  const parameters = new Parameters('groupby', args, ['attribute', 'default', 'case_sensitive'], 1);
  const get = getter(parameters.value('attribute'));
  const other = parameters.valueOr('default', null);
  const own = (item: Value): Value => {
    const found = get(item);
    return found instanceof Undefined && other !== null ? other : found;
  };
  const key = (item: Value): Value => (parameters.flag('case_sensitive', false) ? own(item) : withoutCase(own(item)));
  const groups: Value[][] = [];
  for (const item of sorted(itemsOf(value), key, false)) {
    const last = groups.at(-1);
    if (last !== undefined && compare(key(last[0]!), key(item)) === 0) last.push(item);
    else groups.push([item]);
  }
  return groups.map((items) => new Tuple([own(items[0]!), items]));
}

function slices(items: readonly Value[], args: Arguments): Value[] {
  const parameters = new Parameters('slice', args, ['slices', 'fill_with'], 1);
  const count = Math.max(1, parameters.integer('slices', 1));
  const fill = parameters.valueOr('fill_with', null);
  const size = Math.floor(items.length / count);
  const numLonger = items.length % count;
  return Array.from({ length: count }, (_, i) => {
    const start = i * size + Math.min(i, numLonger);
    const own = items.slice(start, start + size + (i < numLonger ? 1 : 0));
    return fill !== null && i >= numLonger ? [...own, fill] : own;
  });
}

function rounded(value: Value, args: Arguments): Value {
  const parameters = new Parameters('round', args, ['precision', 'method']);
  const precision = parameters.integer('precision', 0);
  const method = parameters.text('method', 'common');
  const number = needNumber('round', value);
  if (method !== 'common' && method !== 'ceil' && method !== 'floor')
    throw failed('method must be common, ceil or floor');
  if (method !== 'common') return Math[method](Number(number) * 10 ** precision) / 10 ** precision;
  if (precision >= 0) return typeof number === 'bigint' ? number : Number(fixed(number, precision));
  const unit = 10 ** -precision;
  const scaled = Number(fixed(Number(number) / unit, 0)) * unit;
  return typeof number === 'bigint' ? BigInt(scaled) : scaled;
}

/** The most digits that Python's `int` reads, but for bases that are powers of two. */
const MAX_DIGITS = 4300;

/** A text as Python's `int` reads it. */
function parsedInteger(text: string, base: number): bigint | null {
  const [, sign, body] = /^\s*([-+]?)(\w+)\s*$/.exec(text) ?? [];
  if (body === undefined) return null;
  const prefix = { 2: '0b', 8: '0o', 16: '0x' }[base] ?? '';
  const plain = body.replace(/(?<=\w)_(?=\w)/g, '').toLowerCase();
  const digits = prefix !== '' && plain.startsWith(prefix) ? plain.slice(2) : plain;
  if (digits === '' || Array.from(digits).some((digit) => !(parseInt(digit, 36) < base))) return null;
  const numBits = Math.log2(base);
  if (!Number.isInteger(numBits) && digits.length > MAX_DIGITS) return null;
  const values = Array.from(digits, (digit) => parseInt(digit, 36));
  const size = Number.isInteger(numBits)
    ? BigInt(`0b${values.map((value) => value.toString(2).padStart(numBits, '0')).join('')}`)
    : values.reduce((sum, value) => sum * BigInt(base) + BigInt(value), 0n);
  return sign === '-' ? -size : size;
}

const FLOAT =
  /^\s*[-+]?(?:(?:\d+(?:_\d+)*(?:\.(?:\d+(?:_\d+)*)?)?|\.\d+(?:_\d+)*)(?:e[-+]?\d+)?|inf(?:inity)?|nan)\s*$/i;

function parsedFloat(text: string): number | null {
  if (!FLOAT.test(text)) return null;
  const plain = text.trim().replaceAll('_', '').toLowerCase();
  return Number(plain.replace(/inf.*/, 'Infinity').replace('nan', 'NaN'));
}

function toInteger(value: Value, args: Arguments): Value {
  const parameters = new Parameters('int', args, ['default', 'base']);
  const other = parameters.valueOr('default', 0n);
  if (value instanceof Undefined) throw value.error;
  const whole = typeof value === 'string' ? parsedInteger(value, parameters.integer('base', 10)) : null;
  const number = whole ?? (typeof value === 'string' ? parsedFloat(value) : numberOf(value));
  if (typeof number === 'bigint') return number;
  return number === null || !Number.isFinite(number) ? other : BigInt(Math.trunc(number));
}

function toFloat(value: Value, other: Value): Value {
  if (value instanceof Undefined) throw value.error;
  const number = typeof value === 'string' ? parsedFloat(value) : numberOf(value);
  return number === null ? other : Number(number);
}
