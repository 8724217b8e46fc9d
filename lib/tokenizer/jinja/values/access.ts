/** `value.name`, `value[index]` and slices, as Jinja2's sandbox has them. */
import { Parameters } from './arguments.js';
import { braceFormatted } from './brace_format.js';
import { numberOf } from './compare.js';
import { failed } from './errors.js';
import { hasSurrogates, itemsIfAny } from './iterate.js';
import { methodOf } from './methods.js';
import { textOf } from './text.js';
import { Attributed, Callable, Dict, Lazy, Range, Tuple, typeName, Undefined, View, type Value } from './values.js';

/** `object.name`: an attribute, else an item. @throws TemplateError TEMPLATE_FAILED where the object is undefined */
export function attributeOf(object: Value, name: string): Value {
  if (object instanceof Undefined) throw object.error;
  const attribute = ownAttribute(object, name);
  const found = attribute === undefined ? itemIfAny(object, name) : attribute;
  return found === undefined ? missing(object, name) : found;
}

/** `object[index]`: an item, else an attribute. @throws TemplateError TEMPLATE_FAILED where the object is undefined */
export function itemOf(object: Value, index: Value): Value {
  if (object instanceof Undefined) throw object.error;
  const item = itemIfAny(object, index);
  if (item !== undefined) return item;
  const attribute = typeof index === 'string' ? ownAttribute(object, index) : undefined;
  return attribute === undefined ? missing(object, textOf(index)) : attribute;
}

function missing(object: Value, name: string): Undefined {
  return new Undefined(`'${describe(object)}' has no attribute '${name}'`);
}

const describe = (object: Value): string => (object === null ? 'None' : `${typeName(object)} object`);

/** Undefined (JavaScript's): there is none. What would change a value isn't there, nor what begins with an underscore. */
function ownAttribute(object: Value, name: string): Value | undefined {
  if (name.startsWith('_')) return undefined;
  if (object instanceof Attributed) return object.attribute(name);
  if (object instanceof Callable) return object.attributes.get(name);
  return typeof object === 'string' && name.startsWith('format') ? formatOf(object, name) : methodOf(object, name);
}

/** `'…{}…'.format`, whose fields may look into their values. */
function formatOf(text: string, name: string): Value | undefined {
  const access = { attributeOf, itemOf };
  if (name === 'format') return new Callable(name, (args) => braceFormatted(text, args, access));
  if (name !== 'format_map') return undefined;
  return new Callable(name, (args) => {
    const mapping = new Parameters(name, args, ['mapping'], 1).value('mapping')!;
    if (!(mapping instanceof Dict)) throw failed('format_map() needs a dict');
    const named = mapping.entries().filter((pair): pair is readonly [string, Value] => typeof pair[0] === 'string');
    return braceFormatted(text, { positional: [], named: new Map(named) }, access);
  });
}

function itemIfAny(object: Value, index: Value): Value | undefined {
  if (object instanceof Dict) return isHashable(index) ? object.get(index) : undefined;
  const place = typeof index === 'number' ? null : numberOf(index);
  if (typeof place !== 'bigint' || object instanceof View || object instanceof Lazy) return undefined;
  return itemsIfAny(object)?.at(Number(place));
}

const isHashable = (value: Value): boolean => !Array.isArray(value) && !(value instanceof Dict);

/** `object[start:stop:step]` @throws TemplateError TEMPLATE_FAILED where there are no slices of it */
export function sliceOf(object: Value, parts: readonly (Value | null)[]): Value {
  if (object instanceof Undefined) throw object.error;
  const [start, stop, step] = parts.map((part) => {
    if (part === null) return null;
    const number = numberOf(part);
    if (typeof number === 'bigint') return Number(number);
    throw failed('slice indices must be integers or None');
  });
  if (step === 0) throw failed('slice step cannot be zero');
  if (typeof object === 'string') return slicedText(object, start, stop, step);
  if (object instanceof Tuple) return new Tuple(sliced(object.items, start, stop, step));
  if (Array.isArray(object)) return sliced(object as readonly Value[], start, stop, step);
  if (object instanceof Range) return sliced(object.items(), start, stop, step);
  throw failed(`'${typeName(object)}' object is not subscriptable`);
}

type Place = number | null | undefined;

/** Text without surrogates is sliced as it is. */
const slicedText = (text: string, start: Place, stop: Place, step: Place): string =>
  (step ?? 1) === 1 && !hasSurrogates(text)
    ? text.slice(start ?? 0, stop ?? undefined)
    : sliced(Array.from(text), start, stop, step).join('');

function sliced<T>(items: readonly T[], start: Place, stop: Place, step: Place): T[] {
  const by = step ?? 1;
  const [low, high] = by > 0 ? [0, items.length] : [-1, items.length - 1];
  const clamp = (place: Place, fallback: number): number =>
    place == null ? fallback : Math.min(high, Math.max(low, place < 0 ? place + items.length : place));
  const [from, to] = by > 0 ? [clamp(start, low), clamp(stop, high)] : [clamp(start, high), clamp(stop, low)];
  const kept: T[] = [];
  for (let i = from; by > 0 ? i < to : i > to; i += by) kept.push(items[i]!);
  return kept;
}
