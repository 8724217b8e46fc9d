/** Expressions, by the grammar of Jinja2. Source: jinja2/parser.py of Jinja2 3.1. */
import type { BinaryOperator } from '../values/arithmetic.js';
import type { CallArguments, ComparisonOperator, Expression, FilterCall } from './nodes.js';
import type { TokenKind } from './lexer.js';
import type { TokenStream } from './token_stream.js';

/** What may follow an expression list besides the usual ends. */
export interface ListOptions {
  /** Without `a if b else c`, which would take the `if` of a loop. */
  readonly isPlain?: boolean;
  /** A name that ends the list. */
  readonly end?: string;
  /** In parentheses, where there may be nothing. */
  readonly isInParentheses?: boolean;
}

const NO_ARGUMENTS: CallArguments = { positional: [], named: [], spread: null, namedSpread: null };
const VALUES: readonly TokenKind[] = ['name', 'string', 'integer', 'float'];
const COMPARISONS = ['==', '!=', '<', '<=', '>', '>='] as const;

/** Reads expressions from a stream. Its methods are the levels of precedence, lowest first. */
export class ExpressionParser {
  constructor(private readonly stream: TokenStream) {}

  /** One expression, or a tuple where commas follow. @throws TemplateError TEMPLATE_SYNTAX */
  list({ isPlain = false, end, isInParentheses = false }: ListOptions = {}): Expression {
    const items: Expression[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) this.stream.expect('operator', ',');
      if (this.isListEnd(end)) break;
      items.push(isPlain ? this.or() : this.expression());
      if (!this.stream.is('operator', ',')) break;
      isTuple = true;
    }
    if (!isTuple && items.length > 0) return items[0]!;
    if (!isTuple && !isInParentheses) throw this.stream.error(`expected an expression, got ${this.stream.shown}`);
    return { kind: 'tuple', items };
  }

  private isListEnd(end: string | undefined): boolean {
    if (this.stream.is('print end') || this.stream.is('tag end') || this.stream.is('operator', ')')) return true;
    return end !== undefined && this.stream.is('name', end);
  }

  /** `a if b else c`, or what stands above it. @throws TemplateError TEMPLATE_SYNTAX */
  expression(): Expression {
    let value = this.or();
    while (this.stream.skip('name', 'if')) {
      const test = this.or();
      const otherwise = this.stream.skip('name', 'else') ? this.expression() : null;
      value = { kind: 'conditional', test, then: value, otherwise };
    }
    return value;
  }

  private or(): Expression {
    let left = this.and();
    while (this.stream.skip('name', 'or')) left = { kind: 'or', left, right: this.and() };
    return left;
  }

  private and(): Expression {
    let left = this.not();
    while (this.stream.skip('name', 'and')) left = { kind: 'and', left, right: this.not() };
    return left;
  }

  private not(): Expression {
    return this.stream.skip('name', 'not') ? { kind: 'not', operand: this.not() } : this.comparison();
  }

  private comparison(): Expression {
    const first = this.sum();
    const rest: (readonly [ComparisonOperator, Expression])[] = [];
    for (let operator = this.comparisonOperator(); operator !== null; operator = this.comparisonOperator()) {
      rest.push([operator, this.sum()]);
    }
    return rest.length === 0 ? first : { kind: 'compare', first, rest };
  }

  private comparisonOperator(): ComparisonOperator | null {
    const operator = COMPARISONS.find((each) => this.stream.skip('operator', each));
    if (operator !== undefined) return operator;
    if (this.stream.skip('name', 'in')) return 'in';
    if (!this.stream.is('name', 'not') || !this.stream.isBehind('name', 'in')) return null;
    this.stream.next();
    this.stream.next();
    return 'not in';
  }

  private sum(): Expression {
    return this.binary(['+', '-'], () => this.concat());
  }

  private concat(): Expression {
    const parts = [this.product()];
    while (this.stream.skip('operator', '~')) parts.push(this.product());
    return parts.length === 1 ? parts[0]! : { kind: 'concat', parts };
  }

  private product(): Expression {
    return this.binary(['*', '/', '//', '%'], () => this.binary(['**'], () => this.unary()));
  }

  private binary(operators: readonly BinaryOperator[], operand: () => Expression): Expression {
    let left = operand();
    for (;;) {
      const operator = operators.find((each) => this.stream.skip('operator', each));
      if (operator === undefined) return left;
      left = { kind: 'binary', operator, left, right: operand() };
    }
  }

  /** A sign binds closer than a filter, but not than a call. */
  private unary(withFilters = true): Expression {
    let value: Expression;
    if (this.stream.skip('operator', '-')) value = { kind: 'negative', operand: this.unary(false) };
    else if (this.stream.skip('operator', '+')) value = { kind: 'positive', operand: this.unary(false) };
    else value = this.primary();
    value = this.postfix(value);
    return withFilters ? this.filtered(value) : value;
  }

  private primary(): Expression {
    if (!this.isValue()) throw this.stream.error(`unexpected ${this.stream.shown}`);
    const token = this.stream.next();
    const { kind } = token;
    if (kind === 'name') return named(token.text);
    if (kind === 'integer') return { kind: 'constant', value: BigInt(token.text) };
    if (kind === 'float') return { kind: 'constant', value: Number(token.text) };
    if (kind !== 'string') return this.bracketed(token.text);
    let { text } = token;
    while (this.stream.is('string')) text += this.stream.next().text;
    return { kind: 'constant', value: text };
  }

  /** Whether a value begins here. */
  private isValue(): boolean {
    const { kind } = this.stream.current;
    return VALUES.includes(kind) || this.stream.is('operator', '(', '[', '{');
  }

  private bracketed(bracket: string): Expression {
    if (bracket === '(') {
      const value = this.list({ isInParentheses: true });
      this.stream.expect('operator', ')');
      return value;
    }
    if (bracket === '[') return { kind: 'list', items: this.members(']', () => this.expression()) };
    return { kind: 'dict', pairs: this.members('}', () => this.pair()) };
  }

  private pair(): readonly [Expression, Expression] {
    const key = this.expression();
    this.stream.expect('operator', ':');
    return [key, this.expression()];
  }

  private members<T>(end: string, member: () => T): T[] {
    const members: T[] = [];
    while (!this.stream.skip('operator', end)) {
      if (members.length > 0) {
        this.stream.expect('operator', ',');
        if (this.stream.skip('operator', end)) break;
      }
      members.push(member());
    }
    return members;
  }

  private postfix(of: Expression): Expression {
    let value = of;
    for (;;) {
      if (this.stream.skip('operator', '.')) value = this.attribute(value);
      else if (this.stream.skip('operator', '[')) value = this.item(value);
      else if (this.stream.is('operator', '(')) value = { kind: 'call', callee: value, args: this.args() };
      else return value;
    }
  }

  private attribute(object: Expression): Expression {
    const token = this.stream.next();
    if (token.kind === 'name') return { kind: 'attribute', object, name: token.text };
    if (token.kind !== 'integer') throw this.stream.error('expected a name or number behind "."');
    return { kind: 'item', object, index: { kind: 'constant', value: BigInt(token.text) } };
  }

  private item(object: Expression): Expression {
    const indices = this.members(']', () => this.index());
    return { kind: 'item', object, index: indices.length === 1 ? indices[0]! : { kind: 'tuple', items: indices } };
  }

  private index(): Expression {
    const start = this.stream.is('operator', ':') ? null : this.expression();
    if (!this.stream.skip('operator', ':')) return start!;
    const part = (): Expression | null => (this.stream.is('operator', ':', ']', ',') ? null : this.expression());
    const stop = part();
    return { kind: 'slice', parts: [start, stop, this.stream.skip('operator', ':') ? part() : null] };
  }

  private filtered(of: Expression): Expression {
    let value = of;
    for (;;) {
      if (this.stream.skip('operator', '|')) value = { kind: 'filter', object: value, filter: this.filter() };
      else if (this.stream.skip('name', 'is')) value = this.test(value);
      else if (this.stream.is('operator', '(')) value = { kind: 'call', callee: value, args: this.args() };
      else return value;
    }
  }

  /** What stands behind `|`. @throws TemplateError TEMPLATE_SYNTAX */
  filter(): FilterCall {
    const name = this.dottedName();
    return { name, args: this.stream.is('operator', '(') ? this.args() : NO_ARGUMENTS };
  }

  /** Filters, each behind its `|`. @throws TemplateError TEMPLATE_SYNTAX */
  filters(): FilterCall[] {
    const filters: FilterCall[] = [];
    while (this.stream.skip('operator', '|')) filters.push(this.filter());
    return filters;
  }

  private dottedName(): string {
    let name = this.stream.expect('name').text;
    while (this.stream.skip('operator', '.')) name += `.${this.stream.expect('name').text}`;
    return name;
  }

  private test(object: Expression): Expression {
    const isNegated = this.stream.skip('name', 'not');
    const test: Expression = { kind: 'test', object, name: this.dottedName(), args: this.testArguments() };
    return isNegated ? { kind: 'not', operand: test } : test;
  }

  /** In parentheses, or one without them. */
  private testArguments(): CallArguments {
    if (this.stream.is('operator', '(')) return this.args();
    const { kind, text } = this.stream.current;
    if (!this.isValue() || (kind === 'name' && ['else', 'or', 'and'].includes(text))) return NO_ARGUMENTS;
    if (this.stream.is('name', 'is')) throw this.stream.error('You cannot chain multiple tests with is');
    return { ...NO_ARGUMENTS, positional: [this.postfix(this.primary())] };
  }

  /** Arguments in parentheses. @throws TemplateError TEMPLATE_SYNTAX */
  args(): CallArguments {
    this.stream.expect('operator', '(');
    const positional: Expression[] = [];
    const named: (readonly [string, Expression])[] = [];
    let spread: Expression | null = null;
    let namedSpread: Expression | null = null;
    const ensure = (isRight: boolean): void => {
      if (!isRight) throw this.stream.error('invalid syntax for function call expression');
    };
    this.members(')', () => {
      if (this.stream.skip('operator', '*')) {
        ensure(spread === null && namedSpread === null);
        spread = this.expression();
      } else if (this.stream.skip('operator', '**')) {
        ensure(namedSpread === null);
        namedSpread = this.expression();
      } else if (this.stream.is('name') && this.stream.isBehind('operator', '=')) {
        ensure(namedSpread === null);
        const name = this.stream.next().text;
        this.stream.next();
        named.push([name, this.expression()]);
      } else {
        ensure(spread === null && namedSpread === null && named.length === 0);
        positional.push(this.expression());
      }
    });
    return { positional, named, spread, namedSpread };
  }
}

/** The words for truth and nothing can't be variables. */
function named(name: string): Expression {
  if (name === 'true' || name === 'True') return { kind: 'constant', value: true };
  if (name === 'false' || name === 'False') return { kind: 'constant', value: false };
  if (name === 'none' || name === 'None') return { kind: 'constant', value: null };
  return { kind: 'name', name };
}
