import { TemplateError } from '../values/errors.js';
import { tokensOf, type Token, type TokenKind } from './lexer.js';

/** Tokens of a template, one after the other. */
export class TokenStream {
  private at = 0;
  private readonly tokens: readonly Token[];

  /** @throws TemplateError TEMPLATE_SYNTAX */
  constructor(source: string) {
    this.tokens = tokensOf(source);
  }

  /** The next token, which is yet to be taken; the last one marks the end, and stays. */
  get current(): Token {
    return this.tokens[this.at]!;
  }

  /** Takes the next token. */
  next(): Token {
    const token = this.current;
    if (token.kind !== 'end') this.at++;
    return token;
  }

  /** Whether the next token is this. @param text any, where it isn't given */
  is(kind: TokenKind, ...texts: readonly string[]): boolean {
    return isToken(this.current, kind, texts);
  }

  /** Whether the token behind the next one is this. */
  isBehind(kind: TokenKind, text: string): boolean {
    return isToken(this.tokens[this.at + 1] ?? this.current, kind, [text]);
  }

  /** Takes the next token where it is this. */
  skip(kind: TokenKind, text: string): boolean {
    const isIt = this.is(kind, text);
    if (isIt) this.at++;
    return isIt;
  }

  /** Takes the next token. @throws TemplateError TEMPLATE_SYNTAX where it is another one */
  expect(kind: TokenKind, text?: string): Token {
    if (this.is(kind, ...(text === undefined ? [] : [text]))) return this.next();
    throw this.error(`expected ${text ?? `a ${kind}`}, got ${this.shown}`);
  }

  /** The next token, as a message shows it. */
  get shown(): string {
    const { kind, text } = this.current;
    return kind === 'end' ? "the template's end" : text === '' ? `a ${kind}` : `'${text.trim()}'`;
  }

  /** A mistake at the next token. */
  error(text: string): TemplateError {
    return new TemplateError('TEMPLATE_SYNTAX', text, this.current.line);
  }
}

const isToken = ({ kind, text }: Token, wanted: TokenKind, texts: readonly string[]): boolean =>
  kind === wanted && (texts.length === 0 || texts.includes(text));
