/** Truth, equality, order and membership, as Python has them. Pure. */
import { failed } from './errors.js';
import { itemsOf } from './iterate.js';
import { Dict, Range, Tuple, typeName, Undefined, View, type Value } from './values.js';

/** What counts as true. */
export function isTrue(value: Value): boolean {
  if (value === null || value instanceof Undefined) return false;
  if (typeof value === 'number') return value !== 0;
  if (typeof value === 'bigint') return value !== 0n;
  if (typeof value === 'boolean') return value;
  if (typeof value === 'string') return value !== '';
  if (value instanceof Tuple) return value.items.length > 0;
  if (value instanceof Dict) return value.size > 0;
  if (value instanceof View) return value.dict.size > 0;
  if (value instanceof Range) return value.length > 0;
  return !Array.isArray(value) || value.length > 0;
}

/** A number, where a value is one; a bool is 0 or 1. */
export function numberOf(value: Value): bigint | number | null {
  if (typeof value === 'boolean') return value ? 1n : 0n;
  return typeof value === 'bigint' || typeof value === 'number' ? value : null;
}

/** `a == b` */
export function isEqual(a: Value, b: Value): boolean {
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== null && y !== null) return x == y; // 1n == 1, by their values
  if (a instanceof Undefined && b instanceof Undefined) return true;
  if (Array.isArray(a) && Array.isArray(b)) return areEqual(a as Value[], b as Value[]);
  if (a instanceof Tuple && b instanceof Tuple) return areEqual(a.items, b.items);
  if (a instanceof Range && b instanceof Range) return areEqual(a.items(), b.items());
  if (a instanceof View && b instanceof View && a.kind === b.kind && a.kind !== 'values') {
    return a.dict.size === b.dict.size && a.items().every((item) => isIn(item, b));
  }
  if (!(a instanceof Dict) || !(b instanceof Dict)) return a === b;
  return a.size === b.size && a.entries().every(([key, value]) => b.has(key) && isEqual(value, b.get(key)!));
}

const areEqual = (a: readonly Value[], b: readonly Value[]): boolean =>
  a.length === b.length && a.every((item, i) => isEqual(item, b[i]!));

/** Below 0 where a < b, over 0 where a > b. @throws TemplateError TEMPLATE_FAILED where Python compares no such values */
export function compare(a: Value, b: Value, operator = '<'): number {
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== null && y !== null) return x < y ? -1 : x > y ? 1 : x >= y ? 0 : NaN;
  if (typeof a === 'string' && typeof b === 'string') return compareTexts(a, b);
  if (Array.isArray(a) && Array.isArray(b)) return compareLists(a as Value[], b as Value[], operator);
  if (a instanceof Tuple && b instanceof Tuple) return compareLists(a.items, b.items, operator);
  for (const value of [a, b]) if (value instanceof Undefined) throw value.error;
  throw failed(`'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`);
}

function compareLists(a: readonly Value[], b: readonly Value[], operator: string): number {
  const i = a.findIndex((item, at) => at >= b.length || !isEqual(item, b[at]!));
  if (i < 0) return a.length - b.length;
  return i >= b.length ? 1 : compare(a[i]!, b[i]!, operator);
}

/** By code points; JavaScript would go by halves of them. */
function compareTexts(a: string, b: string): number {
  let i = 0;
  while (i < a.length && a[i] === b[i]) i++;
  if (i === a.length || i === b.length) return a.length - b.length;
  const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
  const [isHighX, isHighY] = [isSurrogate(x), isSurrogate(y)];
  return isHighX === isHighY ? x - y : isHighX ? 1 : -1;
}

const isSurrogate = (unit: number): boolean => unit >= 0xd800 && unit < 0xe000;

/** `item in container` @throws TemplateError TEMPLATE_FAILED where nothing can be in it */
export function isIn(item: Value, container: Value): boolean {
  if (typeof container === 'string') {
    if (typeof item === 'string') return container.includes(item);
    throw item instanceof Undefined
      ? item.error
      : failed(`'in <string>' requires string as left operand, not ${typeName(item)}`);
  }
  if (container instanceof Dict) return container.has(item);
  if (container instanceof View && container.kind === 'keys') return container.dict.has(item);
  return itemsOf(container, `argument of type '${typeName(container)}' is not iterable`).some((each) =>
    isEqual(each, item),
  );
}
