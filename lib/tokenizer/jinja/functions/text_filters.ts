/** Filters that make texts, as Jinja2 and transformers have them. */
import { Parameters } from '../values/arguments.js';
import { numberOf } from '../values/compare.js';
import { failed } from '../values/errors.js';
import { listOf, getter, type Filter, type Filters } from './filter.js';
import { itemsIfAny, itemsOf, lengthOf, numCharacters } from '../values/iterate.js';
import { jsonOf } from './json.js';
import { fixed } from '../values/number_format.js';
import { percentFormatted } from '../values/percent_format.js';
import { capitalized } from '../values/text_case.js';
import { lines, replaced, stripped, TEXT_METHODS } from '../values/text_methods.js';
import { textOf } from '../values/text.js';
import { Dict, Tuple, typeName, Undefined, type Arguments, type Value } from '../values/values.js';

/** A filter of a text alone; other values are written as text first. */
const ofText =
  (work: (text: string) => Value): Filter =>
  (value) =>
    work(textOf(value));

const HTML: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&#34;', "'": '&#39;' };
const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => HTML[character]!);

/** A text without what stands between such a begin and the next end. */
function without(text: string, begin: string, end: string): string {
  const kept: string[] = [];
  let from = 0;
  for (let start; (start = text.indexOf(begin, from)) >= 0;) {
    const stop = text.indexOf(end, start);
    if (stop < 0) break;
    kept.push(text.slice(from, start));
    from = stop + end.length;
  }
  return kept.join('') + text.slice(from);
}

/** Filters by name. */
export const TEXT_FILTERS: Filters = {
  string: ofText((text) => text),
  safe: ofText((text) => text),
  upper: ofText((text) => text.toUpperCase()),
  lower: ofText((text) => text.toLowerCase()),
  capitalize: ofText(capitalized),
  title: ofText((text) =>
    text
      .split(/([-\s({[<]+)/)
      .map((part) => capitalized(part))
      .join(''),
  ),
  escape: ofText(escaped),
  e: ofText(escaped),
  forceescape: ofText(escaped),
  trim: (value, args) => {
    const characters = new Parameters('trim', args, ['chars']).valueOr('chars', null);
    return stripped(textOf(value), characters === null ? null : textOf(characters));
  },
  replace: (value, args) => {
    const parameters = new Parameters('replace', args, ['old', 'new', 'count'], 2);
    const [from, to] = [textOf(parameters.value('old')!), textOf(parameters.value('new')!)];
    return replaced(textOf(value), from, to, parameters.integerOrNone('count') ?? -1);
  },
  join: (value, args) => {
    const parameters = new Parameters('join', args, ['d', 'attribute']);
    return listOf(value)
      .map(getter(parameters.value('attribute')))
      .map(textOf)
      .join(textOf(parameters.valueOr('d', '')));
  },
  format: (value, { positional, named }) => {
    if (named.size > 0 && positional.length > 0)
      throw failed("can't handle positional and keyword arguments at the same time");
    return percentFormatted(textOf(value), named.size > 0 ? new Dict(named) : new Tuple(positional));
  },
  indent: (value, args) => indented(needText('indent', value), args),
  tojson: (value, args) => tojson(value, args),
  center: (value, args) =>
    TEXT_METHODS.center!(textOf(value), args.positional.length > 0 || args.named.size > 0 ? args : WIDE),
  truncate: (value, args) => truncated(value, args),
  wordcount: ofText((text) => BigInt(text.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0)),
  striptags: ofText((text) =>
    without(without(text, '<!--', '-->'), '<', '>')
      .split(/\s+/)
      .filter((word) => word !== '')
      .join(' '),
  ),
  urlencode: (value) => urlEncoded(value),
  filesizeformat: (value, args) =>
    fileSize(value, new Parameters('filesizeformat', args, ['binary']).flag('binary', false)),
};

const WIDE: Arguments = { positional: [80n], named: new Map() };

function needText(filter: string, value: Value): string {
  if (typeof value === 'string') return value;
  throw value instanceof Undefined ? value.error : failed(`the filter '${filter}' needs a str, not ${typeName(value)}`);
}

function indented(text: string, args: Arguments): string {
  const parameters = new Parameters('indent', args, ['width', 'first', 'blank']);
  const width = parameters.valueOr('width', 4n);
  const indent = typeof width === 'string' ? width : ' '.repeat(Math.max(0, parameters.integer('width', 4)));
  const isBlank = parameters.flag('blank', false);
  const [head = '', ...rest] = lines(`${text}\n`);
  const body = rest.map((line) => (line !== '' || isBlank ? indent + line : line));
  return (parameters.flag('first', false) ? indent : '') + [head, ...body].join('\n');
}

function tojson(value: Value, args: Arguments): string {
  const parameters = new Parameters('tojson', args, ['ensure_ascii', 'indent', 'separators', 'sort_keys']);
  const indent = parameters.valueOr('indent', null);
  const separators = parameters.valueOr('separators', null);
  const own = separators === null ? null : itemsOf(separators).map(textOf);
  return jsonOf(value, {
    isAscii: parameters.flag('ensure_ascii', false),
    indent:
      indent === null
        ? null
        : typeof indent === 'string'
          ? indent
          : ' '.repeat(Math.max(0, parameters.integer('indent', 0))),
    separators: own === null ? [indent === null ? ', ' : ',', ': '] : [own[0] ?? '', own[1] ?? ''],
    sortKeys: parameters.flag('sort_keys', false),
  });
}

/** By Jinja2's default a text may be five characters longer before it is cut. */
function truncated(value: Value, args: Arguments): Value {
  const parameters = new Parameters('truncate', args, ['length', 'killwords', 'end', 'leeway']);
  const length = parameters.integer('length', 255);
  const end = parameters.text('end', '...');
  if ((lengthOf(value) ?? Infinity) <= length + (parameters.integerOrNone('leeway') ?? 5)) return value;
  const cut = Array.from(needText('truncate', value))
    .slice(0, Math.max(0, length - numCharacters(end)))
    .join('');
  const space = cut.lastIndexOf(' ');
  return (parameters.flag('killwords', false) || space < 0 ? cut : cut.slice(0, space)) + end;
}

const quoted = (value: Value, isQuery: boolean): string => {
  const text = encodeURIComponent(textOf(value)).replace(
    /[!'()*]/g,
    (unit) => `%${unit.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return isQuery ? text.replaceAll('%20', '+') : text.replaceAll('%2F', '/');
};

function urlEncoded(value: Value): string {
  const items = typeof value === 'string' ? null : itemsIfAny(value);
  if (items === null) return quoted(value, false);
  const pairs = value instanceof Dict ? value.entries() : items.map((item) => itemsOf(item));
  return pairs.map(([key, item]) => `${quoted(key ?? null, true)}=${quoted(item ?? null, true)}`).join('&');
}

function fileSize(value: Value, isBinary: boolean): string {
  const size = Number(numberOf(value) ?? textOf(value));
  const base = isBinary ? 1024 : 1000;
  if (size === 1) return '1 Byte';
  if (size < base) return `${Math.trunc(size)} Bytes`;
  const power = Math.min(8, Math.floor(Math.log(size) / Math.log(base) + 1e-12));
  return `${fixed(size / base ** power, 1)} ${isBinary ? 'KMGTPEZY'[power - 1]! + 'i' : 'kMGTPEZY'[power - 1]!}B`;
}
