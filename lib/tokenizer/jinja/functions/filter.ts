import { itemOf } from '../values/access.js';
import { itemsOf } from '../values/iterate.js';
import type { Arguments, Value } from '../values/values.js';

/** What filters may look up while they work. */
export interface Lookup {
  /** A filter applied by its name. @throws TemplateError TEMPLATE_FAILED where there is none */
  readonly filter: (name: string, value: Value, args: Arguments) => Value;
  /** A test by its name. @throws TemplateError TEMPLATE_FAILED where there is none */
  readonly test: (name: string, value: Value, args: Arguments) => boolean;
}

/** A filter: a value and arguments to a value. */
export type Filter = (value: Value, args: Arguments, lookup: Lookup) => Value;

/** Filters by name. */
export type Filters = Readonly<Record<string, Filter>>;

/** The arguments behind the first ones. */
export const restOf = ({ positional, named }: Arguments, count: number): Arguments => ({
  positional: positional.slice(count),
  named,
});

/** A function that follows a path of attributes, `a.b.0`; the value itself where there is none. */
export function getter(path: Value | undefined): (item: Value) => Value {
  if (path === undefined || path === null) return (item) => item;
  const parts: readonly Value[] =
    typeof path === 'string' ? path.split('.').map((part) => (/^\d+$/.test(part) ? BigInt(part) : part)) : [path];
  return (item) => parts.reduce<Value>((value, part) => itemOf(value, part), item);
}

/** Texts without their case; other values as they are. */
export const withoutCase = (value: Value): Value => (typeof value === 'string' ? value.toLowerCase() : value);

/** Members of a value as a list of our own. @throws TemplateError TEMPLATE_FAILED */
export const listOf = (value: Value): Value[] => [...itemsOf(value)];
