/** Changes of a JSON text that leave all the rest as it is written: 1.0 stays 1.0, which a reader in Python tells from 1. Pure. */
import { endOfString } from '../weights/json_text.js';

/** One change. */
export interface JsonEdit {
  /** Keys from the outermost object on; all but the last one are of objects that are there. */
  readonly path: readonly [string, ...string[]];
  /** Undefined: the key is taken away. */
  readonly value: unknown;
}

/** @param text valid JSON (or as Python writes it) with an object outside @throws Error for a path through something that is no object */
export const withJsonValues = (text: string, edits: readonly JsonEdit[]): string =>
  edits.reduce((changed, { path, value }) => edited(changed, changed.indexOf('{'), path, value, 1), text);

/** One key and its value. */
interface Member {
  readonly key: string;
  readonly begin: number;
  readonly valueBegin: number;
  readonly end: number;
}

function edited(text: string, open: number, path: readonly string[], value: unknown, depth: number): string {
  const [key, ...inner] = path as [string, ...string[]];
  const { members, close } = membersOf(text, open);
  const at = members.findIndex((member) => member.key === key);
  const found = members[at];
  if (inner.length > 0) {
    if (found === undefined || text[found.valueBegin] !== '{') throw new Error(`"${key}" is not an object`);
    return edited(text, found.valueBegin, inner, value, depth + 1);
  }
  if (value === undefined) return found === undefined ? text : without(text, members, at);
  const written = JSON.stringify(value, null, 2).replaceAll('\n', `\n${'  '.repeat(depth)}`);
  if (found !== undefined) return text.slice(0, found.valueBegin) + written + text.slice(found.end);
  const last = members.at(-1);
  const more = `${last === undefined ? '' : ','}\n${'  '.repeat(depth)}${JSON.stringify(key)}: ${written}`;
  if (last !== undefined) return text.slice(0, last.end) + more + text.slice(last.end);
  return `${text.slice(0, open + 1)}${more}\n${'  '.repeat(depth - 1)}${text.slice(close)}`;
}

/** With the comma before it, or of the first one that behind it. */
function without(text: string, members: readonly Member[], at: number): string {
  const [before, own, after] = [members[at - 1], members[at]!, members[at + 1]];
  if (before !== undefined) return text.slice(0, before.end) + text.slice(own.end);
  return text.slice(0, own.begin) + text.slice(after?.begin ?? own.end);
}

/** Of the object that opens at a place. */
function membersOf(text: string, open: number): { readonly members: readonly Member[]; readonly close: number } {
  const members: Member[] = [];
  for (let i = pastSpace(text, open + 1); text[i] !== '}';) {
    const begin = i;
    const keyEnd = endOfString(text, begin);
    const valueBegin = pastSpace(text, text.indexOf(':', keyEnd) + 1);
    const end = endOfValue(text, valueBegin);
    members.push({ key: JSON.parse(text.slice(begin, keyEnd)) as string, begin, valueBegin, end });
    i = pastSpace(text, end);
    if (text[i] === ',') i = pastSpace(text, i + 1);
    if (i >= text.length) throw new Error('the object does not end');
  }
  return { members, close: pastSpace(text, members.at(-1)?.end ?? open + 1) };
}

function endOfValue(text: string, begin: number): number {
  if (text[begin] === '"') return endOfString(text, begin);
  let depth = 0;
  for (let i = begin; i < text.length; i++) {
    const character = text[i]!;
    if (character === '"') i = endOfString(text, i) - 1;
    else if (character === '{' || character === '[') depth++;
    else if (depth === 0 && /[,}\]\s]/.test(character)) return i;
    else if ((character === '}' || character === ']') && --depth === 0) return i + 1;
  }
  return text.length;
}

function pastSpace(text: string, from: number): number {
  let i = from;
  while (i < text.length && /\s/.test(text[i]!)) i++;
  return i;
}
