/** From JavaScript's data to a template's, and from JSON with what JavaScript's reader loses. */
import { endOfString, parsePythonJson } from '../../../weights/json_text.js';
import { Dict, type Value } from './values.js';

/** A float that JavaScript can't tell from an integer: 1.0. */
class ExactFloat {
  constructor(readonly value: number) {}

  /** As JSON has it. */
  toJSON(): number {
    return this.value;
  }
}

/**
 * The value that a template sees for data of JavaScript: numbers that are whole are integers. Properties that are undefined are left out.
 */
export function valueOf(plain: unknown): Value {
  if (plain === null || plain === undefined) return null;
  if (typeof plain === 'boolean' || typeof plain === 'bigint' || typeof plain === 'string') return plain;
  if (typeof plain === 'number') return Number.isInteger(plain) ? BigInt(plain) : plain;
  if (plain instanceof ExactFloat) return plain.value;
  if (Array.isArray(plain)) return plain.map(valueOf);
  if (typeof plain !== 'object') return `<${typeof plain}>`;
  const pairs = plain instanceof Map ? [...(plain as Map<unknown, unknown>)] : Object.entries(plain);
  return new Dict(
    pairs.filter(([, value]) => value !== undefined).map(([key, value]) => [valueOf(key), valueOf(value)]),
  );
}

/**
 * Parses JSON for a template: `1.0` stays a float ({@link ExactFloat}), an integer beyond 2^53 is a bigint, and an object with keys like `"1"`, which JavaScript would
 * put first, is a Map in order. All else is as `JSON.parse` has it.
 * Why: docs/decisions/chats.md#json-keeps-what-javascript-loses
 *
 * @throws SyntaxError as `JSON.parse`
 */
export function parseExactJson(text: string): unknown {
  parsePythonJson(text);
  return new ExactReader(text.startsWith('\uFEFF') ? text.slice(1) : text).value();
}

const NUMBER = /-?(?:Infinity|NaN|\d+(\.\d+)?([eE][+-]?\d+)?)/y;
const WORDS = new Map<string, unknown>([
  ['t', true],
  ['f', false],
  ['n', null],
]);

/** Reads a text that is known to be JSON. */
class ExactReader {
  private at = 0;

  constructor(private readonly text: string) {}

  value(): unknown {
    const first = this.peek();
    if (first === '{') return this.object();
    if (first === '[') return this.list();
    if (first === '"') return this.string();
    if (!WORDS.has(first)) return this.number();
    this.at += first === 'f' ? 5 : 4;
    return WORDS.get(first);
  }

  /** The next character that isn't white space. */
  private peek(): string {
    while (' \t\n\r'.includes(this.text[this.at] ?? 'x')) this.at++;
    return this.text[this.at]!;
  }

  private string(): string {
    const end = endOfString(this.text, this.at);
    const text = JSON.parse(this.text.slice(this.at, end)) as string;
    this.at = end;
    return text;
  }

  private number(): unknown {
    NUMBER.lastIndex = this.at;
    const [text, fraction, exponent] = NUMBER.exec(this.text)!;
    this.at += text.length;
    const value = Number(text);
    if (fraction === undefined && exponent === undefined)
      return Number.isSafeInteger(value) || !/\d/.test(text) ? value : BigInt(text);
    return Number.isInteger(value) ? new ExactFloat(value) : value;
  }

  private list(): unknown[] {
    const items: unknown[] = [];
    this.members(']', () => items.push(this.value()));
    return items;
  }

  private object(): unknown {
    const pairs = new Map<string, unknown>();
    this.members('}', () => {
      this.peek();
      const key = this.string();
      this.peek();
      this.at++; // the colon
      pairs.set(key, this.value());
    });
    return [...pairs.keys()].some((key) => /^(?:0|[1-9]\d*)$/.test(key)) ? pairs : Object.fromEntries(pairs);
  }

  private members(end: string, member: () => void): void {
    do {
      this.at++; // the bracket, or the comma
      if (this.peek() === end) break; // an empty one
      member();
    } while (this.peek() === ',');
    this.at++;
  }
}
