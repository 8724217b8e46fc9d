/** Methods of values; those that would change one are not to be had, as in Jinja2's immutable sandbox. */
import { Parameters } from './arguments.js';
import { isEqual } from './compare.js';
import { failed } from './errors.js';
import { TEXT_METHODS } from './text_methods.js';
import { Callable, Dict, Tuple, View, type Arguments, type Value } from './values.js';

/** Undefined (JavaScript's): it has no such method. */
export function methodOf(object: Value, name: string): Value | undefined {
  if (typeof object === 'string') return bound(TEXT_METHODS, object, name);
  if (object instanceof Dict) return bound(DICT_METHODS, object, name);
  if (object instanceof Tuple) return bound(LIST_METHODS, object.items, name);
  if (Array.isArray(object)) return bound(LIST_METHODS, object as readonly Value[], name);
  if (typeof object === 'number' && name === 'is_integer') return new Callable(name, () => Number.isInteger(object));
  return undefined;
}

type Methods<T> = Readonly<Record<string, (object: T, args: Arguments) => Value>>;

function bound<T>(methods: Methods<T>, object: T, name: string): Callable | undefined {
  const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
  return method === undefined ? undefined : new Callable(name, (args) => method(object, args));
}

const DICT_METHODS: Methods<Dict> = {
  get: (dict, args) => {
    const parameters = new Parameters('get', args, ['key', 'default'], 1);
    const value = dict.get(parameters.valueOr('key', null));
    return value === undefined ? parameters.valueOr('default', null) : value;
  },
  keys: (dict) => new View('keys', dict),
  values: (dict) => new View('values', dict),
  items: (dict) => new View('items', dict),
  copy: (dict) => new Dict(dict.entries()),
};

const LIST_METHODS: Methods<readonly Value[]> = {
  count: (items, args) => {
    const value = new Parameters('count', args, ['value'], 1).value('value')!;
    return BigInt(items.filter((item) => isEqual(item, value)).length);
  },
  index: (items, args) => {
    const value = new Parameters('index', args, ['value'], 1).value('value')!;
    const place = items.findIndex((item) => isEqual(item, value));
    if (place < 0) throw failed('the value is not in list');
    return BigInt(place);
  },
  copy: (items) => items,
};
