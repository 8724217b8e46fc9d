/** Methods of `str`, as Python has them. Pure. */
import { Parameters } from './arguments.js';
import { failed } from './errors.js';
import { hasSurrogates, itemsOf, numCharacters } from './iterate.js';
import { capitalized, SPACES, swappedCase, TEXT_TESTS, titled } from './text_case.js';
import { Tuple, typeName, Undefined, type Arguments, type Value } from './values.js';

/** A method of a text. */
export type TextMethod = (text: string, args: Arguments) => Value;

/** Of a text that may be long: a pattern would try every place. */
const SPACE = new RegExp(`[${SPACES}]`);
const WORD = new RegExp(`[^${SPACES}]+`, 'g');
// eslint-disable-next-line no-control-regex -- they end lines, too
const LINE_END = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/g;

const oneText = (what: string, args: Arguments): string => {
  const value = new Parameters(what, args, ['text'], 1).value('text')!;
  if (typeof value === 'string') return value;
  throw value instanceof Undefined ? value.error : failed(`${what}() needs a str, not ${typeName(value)}`);
};

/** Without characters of a set at its ends; white space where none is given. */
export function stripped(text: string, characters: string | null, side: 'left' | 'right' | 'both' = 'both'): string {
  const set = characters === null ? null : new Set(characters);
  const isOut = (character: string): boolean => (set === null ? SPACE.test(character) : set.has(character));
  // White space and most characters are one unit each: a long text needn't be cut into its characters.
  const units = characters === null || !hasSurrogates(characters) ? text : Array.from(text);
  let begin = 0;
  let end = units.length;
  while (side !== 'right' && begin < end && isOut(units[begin]!)) begin++;
  while (side !== 'left' && end > begin && isOut(units[end - 1]!)) end--;
  const kept = units.slice(begin, end);
  return typeof kept === 'string' ? kept : kept.join('');
}

const strip =
  (name: string, side: 'left' | 'right' | 'both'): TextMethod =>
  (text, args) => {
    const characters = new Parameters(name, args, ['chars']).valueOr('chars', null);
    return stripped(text, characters === null ? null : oneText(name, args), side);
  };

/** `text.split(…)` and, from the end, `text.rsplit(…)`. */
function split(text: string, args: Arguments, isFromEnd: boolean): Value {
  const parameters = new Parameters(isFromEnd ? 'rsplit' : 'split', args, ['sep', 'maxsplit']);
  const max = parameters.integer('maxsplit', -1);
  const limit = max < 0 ? Infinity : max;
  if (parameters.valueOr('sep', null) === null) return words(text, limit, isFromEnd);
  const separator = parameters.text('sep', '');
  if (separator === '') throw failed('empty separator');
  const parts = text.split(separator);
  const numJoined = Math.max(0, parts.length - 1 - limit);
  if (numJoined === 0) return parts;
  return isFromEnd
    ? [parts.slice(0, numJoined + 1).join(separator), ...parts.slice(numJoined + 1)]
    : [...parts.slice(0, -numJoined - 1), parts.slice(-numJoined - 1).join(separator)];
}

/** What is left when the limit is reached keeps the white space on its far side. */
function words(text: string, limit: number, isFromEnd: boolean): string[] {
  const found = [...text.matchAll(WORD)];
  if (found.length <= limit) return found.map(([word]) => word);
  if (!isFromEnd) return [...found.slice(0, limit).map(([word]) => word), text.slice(found[limit]!.index)];
  const last = found[found.length - limit - 1]!;
  const rest = text.slice(0, last.index + last[0].length);
  return [rest, ...found.slice(found.length - limit).map(([word]) => word)];
}

/** `text.splitlines()` */
export function lines(text: string, keepEnds = false): string[] {
  const found: string[] = [];
  let begin = 0;
  for (const { 0: end, index } of text.matchAll(LINE_END)) {
    found.push(text.slice(begin, keepEnds ? index + end.length : index));
    begin = index + end.length;
  }
  if (begin < text.length) found.push(text.slice(begin));
  return found;
}

/** `text.replace(from, to, count)` */
export function replaced(text: string, from: string, to: string, count = -1): string {
  if (count === 0) return text;
  const parts = from === '' ? ['', ...Array.from(text), ''] : text.split(from);
  const numReplaced = count < 0 ? parts.length - 1 : Math.min(count, parts.length - 1);
  return (
    parts.slice(0, numReplaced + 1).join(to) +
    parts
      .slice(numReplaced + 1)
      .map((part) => from + part)
      .join('')
  );
}

const isAtEnd =
  (name: 'startsWith' | 'endsWith'): TextMethod =>
  (text, args) => {
    const value = new Parameters(name.toLowerCase(), args, ['prefix', 'start', 'end'], 1);
    const units = value.value('start') == null && value.value('end') == null ? text : range(text, value);
    const wanted = value.value('prefix')!;
    const texts = wanted instanceof Tuple ? wanted.items : [wanted];
    return texts.some((each) => units[name](oneText(name.toLowerCase(), { positional: [each], named: new Map() })));
  };

const range = (text: string, parameters: Parameters): string =>
  Array.from(text)
    .slice(parameters.integerOrNone('start') ?? 0, parameters.integerOrNone('end') ?? undefined)
    .join('');

const find =
  (name: 'indexOf' | 'lastIndexOf', failure: string | null): TextMethod =>
  (text, args) => {
    const parameters = new Parameters('find', args, ['sub', 'start', 'end'], 1);
    const units = Array.from(text);
    const start = parameters.integerOrNone('start') ?? 0;
    const from = start < 0 ? Math.max(0, start + units.length) : start;
    const within = units.slice(from, parameters.integerOrNone('end') ?? undefined).join('');
    const place = from > units.length ? -1 : within[name](parameters.text('sub', ''));
    if (place < 0 && failure !== null) throw failed(failure);
    return BigInt(place < 0 ? -1 : from + numCharacters(within.slice(0, place)));
  };

const pad =
  (name: string, left: (missing: number, width: number) => number): TextMethod =>
  (text, args) => {
    const parameters = new Parameters(name, args, ['width', 'fillchar'], 1);
    const width = parameters.integer('width', 0);
    const missing = Math.min(100_000, Math.max(0, width - numCharacters(text)));
    const before = left(missing, width);
    const fill = parameters.text('fillchar', ' ');
    return fill.repeat(before) + text + fill.repeat(missing - before);
  };

const partition =
  (name: 'indexOf' | 'lastIndexOf'): TextMethod =>
  (text, args) => {
    const separator = oneText('partition', args);
    if (separator === '') throw failed('empty separator');
    const place = text[name](separator);
    if (place < 0) return new Tuple(name === 'indexOf' ? [text, '', ''] : ['', '', text]);
    return new Tuple([text.slice(0, place), separator, text.slice(place + separator.length)]);
  };

const numOf: TextMethod = (text, args) => {
  const part = oneText('count', args);
  return BigInt(part === '' ? numCharacters(text) + 1 : text.split(part).length - 1);
};

/** Methods by name. */
export const TEXT_METHODS: Readonly<Record<string, TextMethod>> = {
  ...TEXT_TESTS,
  upper: (text) => text.toUpperCase(),
  lower: (text) => text.toLowerCase(),
  casefold: (text) => text.toLowerCase().replaceAll('ß', 'ss'),
  capitalize: capitalized,
  title: titled,
  swapcase: swappedCase,
  strip: strip('strip', 'both'),
  lstrip: strip('lstrip', 'left'),
  rstrip: strip('rstrip', 'right'),
  split: (text, args) => split(text, args, false),
  rsplit: (text, args) => split(text, args, true),
  splitlines: (text, args) => lines(text, new Parameters('splitlines', args, ['keepends']).flag('keepends', false)),
  partition: partition('indexOf'),
  rpartition: partition('lastIndexOf'),
  replace: (text, args) => {
    const parameters = new Parameters('replace', args, ['old', 'new', 'count'], 2);
    return replaced(text, parameters.text('old', ''), parameters.text('new', ''), parameters.integer('count', -1));
  },
  startswith: isAtEnd('startsWith'),
  endswith: isAtEnd('endsWith'),
  removeprefix: (text, args) => {
    const prefix = oneText('removeprefix', args);
    return text.startsWith(prefix) ? text.slice(prefix.length) : text;
  },
  removesuffix: (text, args) => {
    const suffix = oneText('removesuffix', args);
    return suffix !== '' && text.endsWith(suffix) ? text.slice(0, -suffix.length) : text;
  },
  find: find('indexOf', null),
  rfind: find('lastIndexOf', null),
  index: find('indexOf', 'substring not found'),
  rindex: find('lastIndexOf', 'substring not found'),
  count: numOf,
  join: (text, args) => {
    const items = itemsOf(new Parameters('join', args, ['iterable'], 1).value('iterable')!);
    const texts = items.map((item, i) => {
      if (typeof item === 'string') return item;
      throw failed(`sequence item ${i}: expected str instance, ${typeName(item)} found`);
    });
    return texts.join(text);
  },
  center: pad('center', (missing, width) => (missing >> 1) + (missing & width & 1)),
  ljust: pad('ljust', () => 0),
  rjust: pad('rjust', (missing) => missing),
  zfill: (text, args) => {
    const width = new Parameters('zfill', args, ['width'], 1).integer('width', 0);
    const zeros = '0'.repeat(Math.min(100_000, Math.max(0, width - numCharacters(text))));
    return /^[-+]/.test(text) ? text[0]! + zeros + text.slice(1) : zeros + text;
  },
};
