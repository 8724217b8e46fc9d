/** Functions that every template has: those of Jinja2, and those that transformers adds. */
import { Parameters } from '../values/arguments.js';
import { numberOf } from '../values/compare.js';
import { failed, TemplateError } from '../values/errors.js';
import { itemsOf } from '../values/iterate.js';
import { strftime } from './strftime.js';
import { textOf } from '../values/text.js';
import {
  Attributed,
  Callable,
  Dict,
  Range,
  typeName,
  Undefined,
  type Arguments,
  type Value,
} from '../values/values.js';

/** The longest range, as in Jinja2's sandbox. */
const MAX_RANGE = 100_000;

/** @param now what `strftime_now` tells */
export function globalsOf(now: () => Date): ReadonlyMap<string, Value> {
  const functions: Readonly<Record<string, (args: Arguments) => Value>> = {
    range: rangeOf,
    dict: dictOf,
    namespace: (args) => namespaceOf(args),
    cycler: ({ positional }) => cyclerOf(positional),
    joiner: (args) => joinerOf(new Parameters('joiner', args, ['sep']).valueOr('sep', ', ')),
    raise_exception: (args) => {
      throw new TemplateError(
        'TEMPLATE_RAISED',
        textOf(new Parameters('raise_exception', args, ['message'], 1).value('message')!),
      );
    },
    strftime_now: (args) => strftime(now(), new Parameters('strftime_now', args, ['format'], 1).text('format', '')),
  };
  return new Map(Object.entries(functions).map(([name, call]) => [name, new Callable(name, call)]));
}

function rangeOf({ positional }: Arguments): Range {
  const numbers = positional.map((value) => {
    const number = numberOf(value);
    if (typeof number === 'bigint') return number;
    throw value instanceof Undefined
      ? value.error
      : failed(`'${typeName(value)}' object cannot be interpreted as an integer`);
  });
  if (numbers.length === 0 || numbers.length > 3)
    throw failed(`range expected 1 to 3 arguments, got ${numbers.length}`);
  const [start, stop, step = 1n] = numbers.length === 1 ? [0n, numbers[0]!] : (numbers as [bigint, bigint, bigint?]);
  if (step === 0n) throw failed('range() arg 3 must not be zero');
  const range = new Range(start, stop, step);
  if (range.length > MAX_RANGE)
    throw new TemplateError('TEMPLATE_LIMIT', `Range too big. The sandbox blocks ranges larger than ${MAX_RANGE}`);
  return range;
}

function pairsOf({ positional: [source], named }: Arguments): (readonly [Value, Value])[] {
  const pairs = source === undefined ? [] : source instanceof Dict ? source.entries() : itemsOf(source).map(pairOf);
  return [...pairs, ...named];
}

function pairOf(value: Value): readonly [Value, Value] {
  const [key, item, ...more] = itemsOf(value);
  if (key === undefined || item === undefined || more.length > 0)
    throw failed('dict() needs pairs of a key and a value');
  return [key, item];
}

const dictOf = (args: Arguments): Dict => new Dict(pairsOf(args));

function namespaceOf(args: Arguments): Attributed {
  const values = new Map<string, Value>();
  const assign = (name: string, value: Value): void => {
    if (name.startsWith('_'))
      throw failed(`a namespace can't have the attribute '${name}': names with an underscore in front are refused`);
    values.set(name, value);
  };
  for (const [name, value] of pairsOf(args)) assign(textOf(name), value);
  return new Attributed('Namespace', (name) => values.get(name), assign);
}

function cyclerOf(items: readonly Value[]): Attributed {
  if (items.length === 0) throw failed('at least one item has to be provided');
  let place = 0;
  const methods: Readonly<Record<string, () => Value>> = {
    next: () => items[place++ % items.length]!,
    reset: () => {
      place = 0;
      return null;
    },
  };
  return new Attributed('Cycler', (name) => {
    if (name === 'current') return items[place % items.length];
    return Object.hasOwn(methods, name) ? new Callable(name, methods[name]!) : undefined;
  });
}

function joinerOf(separator: Value): Attributed {
  let isUsed = false;
  return new Attributed(
    'Joiner',
    () => undefined,
    undefined,
    () => {
      const text = isUsed ? separator : '';
      isUsed = true;
      return text;
    },
  );
}

/** Assigns the members of a value, one to each. @throws TemplateError TEMPLATE_FAILED where they are too few or too many */
export function unpacked(value: Value, count: number): readonly Value[] {
  const items = itemsOf(value, `cannot unpack non-iterable ${typeName(value)} object`);
  if (items.length > count) throw failed(`too many values to unpack (expected ${count})`);
  if (items.length < count) throw failed(`not enough values to unpack (expected ${count}, got ${items.length})`);
  return items;
}
