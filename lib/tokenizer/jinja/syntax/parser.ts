/** Statements, by the grammar of Jinja2 with what transformers adds: loop controls and `{% generation %}`. Source: jinja2/parser.py of Jinja2 3.1. */
import { ExpressionParser } from './expression_parser.js';
import type { TemplateError } from '../values/errors.js';
import type { Body, Expression, ForStatement, MacroParts, Signature, Statement, Target } from './nodes.js';
import { specialNamesOf } from './special_names.js';
import { TokenStream } from './token_stream.js';

/** The statements of a template. @throws TemplateError TEMPLATE_SYNTAX */
export const parseTemplate = (source: string): Body => new Parser(new TokenStream(source)).template();

type WithoutLine<T> = T extends Statement ? Omit<T, 'line'> : never;

/** Tags that load other templates, of which there are none, or inherit from them. */
const OTHER_TEMPLATES = ['block', 'extends', 'include', 'import', 'from', 'autoescape'];

class Parser {
  private readonly expressions: ExpressionParser;
  /** Names of tags that are open, the innermost last. */
  private readonly open: string[] = [];
  /** Whether `break` may stand here. */
  private isInLoop = false;

  constructor(private readonly stream: TokenStream) {
    this.expressions = new ExpressionParser(stream);
  }

  template(): Body {
    const body = this.body([]);
    if (!this.stream.is('end')) throw this.stream.error(`unexpected ${this.stream.shown}`);
    return body;
  }

  /** Up to a tag of one of these names, whose name is the next token then; without names, to the end. */
  private body(ends: readonly string[]): Body {
    const statements: Statement[] = [];
    while (!this.stream.is('end')) {
      const { kind, text, line } = this.stream.next();
      if (kind === 'data') statements.push({ kind: 'text', text, line });
      else if (kind === 'print begin') {
        statements.push({ kind: 'print', values: [this.expressions.list()], line });
        this.stream.expect('print end');
      } else {
        if (this.stream.is('name') && ends.includes(this.stream.current.text)) return statements;
        statements.push(this.statement());
        this.stream.expect('tag end');
      }
    }
    if (ends.length > 0)
      throw this.stream.error(`the template ends where ${ends.join(' or ')} is missing${this.inside}`);
    return statements;
  }

  private get inside(): string {
    const last = this.open.at(-1);
    return last === undefined ? '' : ` for "${last}"`;
  }

  private statement(): Statement {
    const { kind, text, line } = this.stream.current;
    if (kind !== 'name') throw this.stream.error(`a tag's name is missing: ${this.stream.shown}`);
    this.stream.next();
    this.open.push(text);
    const statement = this.statementOf(text);
    this.open.pop();
    return { ...statement, line };
  }

  private statementOf(tag: string): WithoutLine<Statement> {
    switch (tag) {
      case 'for':
        return this.loop();
      case 'if':
        return this.condition();
      case 'set':
        return this.assignment();
      case 'print':
        return { kind: 'print', values: this.printed() };
      case 'with':
        return this.with();
      case 'macro':
        return {
          kind: 'macro',
          name: this.stream.expect('name').text,
          signature: this.signature(),
          ...this.macroBody('endmacro'),
        };
      case 'call':
        return this.callBlock();
      case 'filter':
        return {
          kind: 'filter block',
          filters: [this.expressions.filter(), ...this.expressions.filters()],
          body: this.block('endfilter'),
        };
      case 'generation':
        return { kind: 'generation', body: this.function('endgeneration') };
      case 'break':
      case 'continue':
        if (!this.isInLoop) throw this.stream.error(`'${tag}' outside loop`);
        return { kind: tag };
      default:
        throw this.unknownTag(tag);
    }
  }

  private unknownTag(tag: string): TemplateError {
    this.open.pop();
    if (OTHER_TEMPLATES.includes(tag)) return this.stream.error(`the tag '${tag}' is not for chat templates`);
    return this.stream.error(
      `unknown tag '${tag}'${this.inside === '' ? '' : `; the innermost open tag is${this.inside}`}`,
    );
  }

  /** A body up to its end, the name of which is taken. */
  private block(...ends: readonly string[]): Body {
    this.stream.skip('operator', ':');
    this.stream.expect('tag end');
    const body = this.body(ends);
    if (ends.length === 1) this.stream.next();
    return body;
  }

  /** A body that runs elsewhere than where it stands: no loop around it can be left from it. */
  private function(end: string): Body {
    return this.inLoop(false, () => this.block(end));
  }

  private inLoop<T>(isInLoop: boolean, parse: () => T): T {
    const outer = this.isInLoop;
    this.isInLoop = isInLoop;
    const parsed = parse();
    this.isInLoop = outer;
    return parsed;
  }

  private loop(): Omit<ForStatement, 'line'> {
    const target = this.target({ end: 'in' });
    this.stream.expect('name', 'in');
    const iterable = this.expressions.list({ isPlain: true, end: 'recursive' });
    const test = this.stream.skip('name', 'if') ? this.expressions.expression() : null;
    const isRecursive = this.stream.skip('name', 'recursive');
    const body = this.inLoop(true, () => this.block('endfor', 'else'));
    const otherwise = this.stream.next().text === 'else' ? this.block('endfor') : [];
    return { kind: 'for', target, iterable, test, isRecursive, body, otherwise };
  }

  private condition(): WithoutLine<Statement> {
    const branches: (readonly [Expression, Body])[] = [];
    let end = 'elif';
    while (end === 'elif') {
      branches.push([this.expressions.list({ isPlain: true }), this.block('elif', 'else', 'endif')]);
      end = this.stream.next().text;
    }
    return { kind: 'if', branches, otherwise: end === 'else' ? this.block('endif') : [] };
  }

  private assignment(): WithoutLine<Statement> {
    const target = this.target({ withNamespace: true });
    if (this.stream.skip('operator', '=')) return { kind: 'set', target, value: this.expressions.list() };
    return { kind: 'set block', target, filters: this.expressions.filters(), body: this.block('endset') };
  }

  private printed(): Expression[] {
    const parts: Expression[] = [];
    while (!this.stream.is('tag end')) {
      if (parts.length > 0) this.stream.expect('operator', ',');
      parts.push(this.expressions.expression());
    }
    return parts;
  }

  private with(): WithoutLine<Statement> {
    const pairs: (readonly [Target, Expression])[] = [];
    while (!this.stream.is('tag end')) {
      if (pairs.length > 0) this.stream.expect('operator', ',');
      const target = this.target();
      this.stream.expect('operator', '=');
      pairs.push([target, this.expressions.expression()]);
    }
    return { kind: 'with', pairs, body: this.block('endwith') };
  }

  private callBlock(): WithoutLine<Statement> {
    const signature = this.stream.is('operator', '(') ? this.signature() : [];
    const call = this.expressions.expression();
    if (call.kind !== 'call') throw this.stream.error('expected call');
    return { kind: 'call block', signature, call, ...this.macroBody('endcall') };
  }

  private macroBody(end: string): Pick<MacroParts, 'body' | 'specialNames'> {
    const body = this.function(end);
    return { body, specialNames: specialNamesOf(body) };
  }

  private signature(): Signature {
    const parameters: { readonly name: string; readonly fallback: Expression | null }[] = [];
    this.stream.expect('operator', '(');
    while (!this.stream.skip('operator', ')')) {
      if (parameters.length > 0) this.stream.expect('operator', ',');
      const name = this.assignable(this.stream.expect('name').text);
      const fallback = this.stream.skip('operator', '=') ? this.expressions.expression() : null;
      if (fallback === null && parameters.at(-1)?.fallback != null) {
        throw this.stream.error('non-default argument follows default argument');
      }
      parameters.push({ name, fallback });
    }
    return parameters;
  }

  /** What is assigned to: a name, several of them, or an attribute of a namespace. */
  private target(options: { readonly end?: string; readonly withNamespace?: boolean } = {}): Target {
    const items: Target[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) this.stream.expect('operator', ',');
      if (this.stream.is('tag end') || this.stream.is('operator', ')', '=')) break;
      if (options.end !== undefined && this.stream.is('name', options.end)) break;
      items.push(this.oneTarget(options.withNamespace === true));
      if (!this.stream.is('operator', ',')) break;
      isTuple = true;
    }
    if (items.length === 0) throw this.stream.error(`expected a name to assign to, got ${this.stream.shown}`);
    return isTuple ? { kind: 'targets', items } : items[0]!;
  }

  private oneTarget(withNamespace: boolean): Target {
    if (this.stream.skip('operator', '(')) {
      const target = this.target({ withNamespace });
      this.stream.expect('operator', ')');
      return target;
    }
    const name = this.assignable(this.stream.expect('name').text);
    if (!withNamespace || !this.stream.skip('operator', '.')) return { kind: 'name', name };
    return { kind: 'namespace', name, attribute: this.stream.expect('name').text };
  }

  private assignable(name: string): string {
    if (['true', 'false', 'none', 'True', 'False', 'None'].includes(name))
      throw this.stream.error(`can't assign to '${name}'`);
    return name;
  }
}
