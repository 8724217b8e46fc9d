/** A template's source cut into tokens, by the rules of Jinja2's own lexer with `trim_blocks` and `lstrip_blocks`. Source: jinja2/lexer.py of Jinja2 3.1. */
import { SPACES } from '../values/text_case.js';
import { TemplateError } from '../values/errors.js';
import { stripped } from '../values/text_methods.js';

/** A token: text of the template, the mark of a tag, or a word within a tag. */
export interface Token {
  readonly kind: TokenKind;
  /** Text, name or operator as it stands there; a string without its quotes and escapes; a number without underscores. */
  readonly text: string;
  /** From 1. */
  readonly line: number;
}

/** What a token is. An operator is named by its text. */
export type TokenKind =
  | 'data'
  | 'tag begin'
  | 'tag end'
  | 'print begin'
  | 'print end'
  | 'name'
  | 'string'
  | 'integer'
  | 'float'
  | 'operator'
  | 'end';

const BEGIN = /\{%([-+]?)[S]*raw[S]*(?:-%\}[S]*|%\})|\{([%{#])([-+]?)/.source.replaceAll('[S]', `[${SPACES}]`);
const ROOT = new RegExp(BEGIN, 'g');
const within = (source: string): RegExp => new RegExp(source.replaceAll('[S]', `[${SPACES}]`), 'y');
const SPACE = within('[S]+');
const INDENT = new RegExp(`^[${SPACES}]+$`);
const COMMENT_END = new RegExp(`\\+#\\}|-#\\}[${SPACES}]*|#\\}\\n?`, 'g');
const RAW_END = new RegExp(`\\{%([-+]?)[${SPACES}]*endraw[${SPACES}]*(?:\\+%\\}|-%\\}[${SPACES}]*|%\\}\\n?)`, 'g');
const TAG_END = within('\\+%\\}|-%\\}[S]*|%\\}\\n?');
const PRINT_END = within('-\\}\\}[S]*|\\}\\}');
const FLOAT = /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy;
const INTEGER = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy;
const NAME = /[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*/uy;
const STRING_END = { "'": /(?:[^'\\]|\\[^])*?'/y, '"': /(?:[^"\\]|\\[^])*?"/y };
const OPERATOR = /\/\/|\*\*|[=!<>]=|[-+/*%~[\](){}<>=.:|,;]/y;
const CLOSING: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };

/** @throws TemplateError TEMPLATE_SYNTAX */
export function tokensOf(template: string): Token[] {
  const source = template.replace(/\r\n?/g, '\n').replace(/\n$/, '');
  return new Lexer(source).tokens();
}

class Lexer {
  private readonly found: Token[] = [];
  private at = 0;
  /** Where lines were counted up to, and how many. */
  private countedTo = 0;
  private line = 1;
  private isLineStart = true;

  constructor(private readonly source: string) {}

  tokens(): Token[] {
    while (this.at < this.source.length) this.root();
    this.push('end', '');
    return this.found;
  }

  /** Text, up to the next tag and through it. */
  private root(): void {
    ROOT.lastIndex = this.at;
    const match = ROOT.exec(this.source);
    if (match === null) {
      this.push('data', this.source.slice(this.at));
      this.at = this.source.length;
      return;
    }
    const [begin, rawSign, kind, sign = rawSign] = match;
    const text = this.source.slice(this.at, match.index);
    this.data(text, sign!, kind !== '{');
    this.at = match.index + begin.length;
    this.isLineStart = begin.endsWith('\n');
    if (kind === undefined) this.raw();
    else if (kind === '#') this.comment();
    else this.tag(kind === '%');
  }

  /** Text before a tag, less the white space that the tag takes. */
  private data(text: string, sign: string, isBlock: boolean): void {
    let kept = text;
    if (sign === '-') kept = stripped(text, null, 'right');
    else if (sign !== '+' && isBlock) {
      const lineStart = text.lastIndexOf('\n') + 1;
      const isIndent = INDENT.test(text.slice(lineStart));
      if (isIndent && (lineStart > 0 || this.isLineStart)) kept = text.slice(0, lineStart);
    }
    if (kept !== '') this.push('data', kept);
  }

  private comment(): void {
    COMMENT_END.lastIndex = this.at;
    const end = COMMENT_END.exec(this.source);
    if (end === null) throw this.error('Missing end of comment tag');
    this.moveTo(end.index + end[0].length);
  }

  private raw(): void {
    RAW_END.lastIndex = this.at;
    const end = RAW_END.exec(this.source);
    if (end === null) throw this.error('Missing end of raw directive');
    this.data(this.source.slice(this.at, end.index), end[1]!, true);
    this.moveTo(end.index + end[0].length);
  }

  private moveTo(at: number): void {
    this.at = at;
    this.isLineStart = this.source[at - 1] === '\n';
  }

  private tag(isBlock: boolean): void {
    this.push(isBlock ? 'tag begin' : 'print begin', '');
    const open: string[] = [];
    while (this.at < this.source.length) {
      const end = open.length > 0 ? null : this.match(isBlock ? TAG_END : PRINT_END);
      if (end !== null) {
        this.push(isBlock ? 'tag end' : 'print end', end);
        this.moveTo(this.at + end.length);
        return;
      }
      this.word(open);
    }
  }

  /** White space, or a token within a tag. */
  private word(open: string[]): void {
    const space = this.match(SPACE);
    if (space !== null) {
      this.at += space.length;
      return;
    }
    for (const [pattern, kind] of WORDS) {
      const text = this.match(pattern);
      if (text === null) continue;
      if (kind === 'operator') this.balance(text, open);
      this.push(kind, kind === 'integer' || kind === 'float' ? text.replaceAll('_', '') : text);
      this.at += text.length;
      return;
    }
    this.string();
  }

  private string(): void {
    const quote = this.source[this.at]!;
    const pattern = quote === '"' || quote === "'" ? STRING_END[quote] : null;
    if (pattern !== null) {
      pattern.lastIndex = this.at + 1;
      const end = pattern.exec(this.source);
      if (end !== null) {
        this.push(
          'string',
          unescaped(end[0].slice(0, -1), (text) => this.error(text)),
        );
        this.at += end[0].length + 1;
        return;
      }
    }
    throw this.error(`unexpected char '${quote}' at ${this.at}`);
  }

  private balance(operator: string, open: string[]): void {
    const closing = CLOSING[operator];
    if (closing !== undefined) open.push(closing);
    if (!')]}'.includes(operator)) return;
    const expected = open.pop();
    if (expected === operator) return;
    throw this.error(`unexpected '${operator}'${expected === undefined ? '' : `, expected '${expected}'`}`);
  }

  private match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    return pattern.exec(this.source)?.[0] ?? null;
  }

  private push(kind: TokenKind, text: string): void {
    for (; this.countedTo < this.at; this.countedTo++) if (this.source[this.countedTo] === '\n') this.line++;
    this.found.push({ kind, text, line: this.line });
  }

  private error(text: string): TemplateError {
    this.push('end', '');
    return new TemplateError('TEMPLATE_SYNTAX', text, this.line);
  }
}

/** In the order in which they are tried. */
const WORDS: readonly (readonly [RegExp, TokenKind])[] = [
  [FLOAT, 'float'],
  [INTEGER, 'integer'],
  [NAME, 'name'],
  [OPERATOR, 'operator'],
];

const ESCAPES: Readonly<Record<string, string>> = {
  '\n': '',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};
const ESCAPE = /\\(?:x([^]{0,2})|u([^]{0,4})|U([^]{0,8})|([0-7]{1,3})|([^]))/g;

/** A string's content, as Python's unicode-escape reads it. */
function unescaped(text: string, error: (text: string) => TemplateError): string {
  return text.replace(ESCAPE, (whole, x?: string, u?: string, long?: string, octal?: string, other?: string) => {
    const hex = x ?? u ?? long;
    if (other === 'N') throw error("characters can't be given by their names");
    if (octal !== undefined) return String.fromCodePoint(parseInt(octal, 8));
    if (hex === undefined) return ESCAPES[other!] ?? whole;
    const length = x !== undefined ? 2 : u !== undefined ? 4 : 8;
    const code = /^[\da-f]+$/i.test(hex) && hex.length === length ? parseInt(hex, 16) : Infinity;
    if (code > 0x10ffff) throw error(`'${whole}' is no character`);
    return String.fromCodePoint(code);
  });
}
