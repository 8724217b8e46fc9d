/** Going through values. */
import { failed } from './errors.js';
import { Dict, Lazy, Range, Tuple, typeName, Undefined, View, type Value } from './values.js';

/** What a loop over a value goes through. What can be gone through once is used up. @throws TemplateError TEMPLATE_FAILED where it can't be gone through, in these words */
export function itemsOf(value: Value, why?: string): readonly Value[] {
  const items = itemsIfAny(value);
  if (items !== null) return items;
  throw failed(why ?? `'${typeName(value)}' object is not iterable`);
}

/** Whether a value can be gone through. */
export const hasMembers = (value: Value): boolean =>
  typeof value === 'string' ||
  Array.isArray(value) ||
  [Tuple, Dict, View, Range, Lazy, Undefined].some((kind) => value instanceof kind);

/** Null where a value can't be gone through. */
export function itemsIfAny(value: Value): readonly Value[] | null {
  if (typeof value === 'string') return Array.from(value);
  if (value instanceof Tuple) return value.items;
  if (value instanceof Dict) return value.entries().map(([key]) => key);
  if (value instanceof View || value instanceof Range) return value.items();
  if (value instanceof Lazy) return [...value.iterator];
  if (value instanceof Undefined) return [];
  return Array.isArray(value) ? (value as readonly Value[]) : null;
}

/** `len(value)`; null where it has none. */
export function lengthOf(value: Value): number | null {
  if (typeof value === 'string') return numCharacters(value);
  if (value instanceof Lazy) return null;
  if (value instanceof Dict) return value.size;
  if (value instanceof View) return value.dict.size;
  if (value instanceof Range) return value.length;
  return itemsIfAny(value)?.length ?? null;
}

/** Whether a text has characters that are two of JavaScript's, or halves of such. */
export const hasSurrogates = (text: string): boolean => /[\ud800-\udfff]/.test(text);

/** Characters of a text, of which JavaScript counts some as two. */
export function numCharacters(text: string): number {
  let count = text.length;
  for (const [pair] of text.matchAll(/[\ud800-\udbff][\udc00-\udfff]/g)) count -= pair.length - 1;
  return count;
}
