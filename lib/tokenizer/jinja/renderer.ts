/** Runs a template's statements. */
import { isTrue } from './values/compare.js';
import { failed, TemplateError } from './values/errors.js';
import { argumentsOf, call, evaluate, filtered, printed } from './evaluator.js';
import { unpacked } from './functions/globals.js';
import { itemsOf } from './values/iterate.js';
import { LoopState } from './loop.js';
import { macroOf } from './macro.js';
import type { Body, FilterCall, ForStatement, Statement, Target } from './syntax/nodes.js';
import { Scope } from './scope.js';
import { Attributed, Undefined, type Value } from './values/values.js';

/** The most that a template may write, in characters. A template is a file from elsewhere. */
const MAX_CHARACTERS = 2 ** 26;

/** How a body ended: to its end, or by leaving the loop around it. */
type Ending = 'end' | 'break' | 'continue';

/** One rendering. */
export class Renderer {
  private readonly parts: string[] = [];
  private numCharacters = 0;

  /** @throws TemplateError */
  render(body: Body, scope: Scope): string {
    this.body(body, scope);
    return this.parts.join('');
  }

  private body(body: Body, scope: Scope): Ending {
    for (const statement of body) {
      scope.work.add(1);
      const ending = this.located(statement, scope);
      if (ending !== 'end') return ending;
    }
    return 'end';
  }

  /** An error says at which line it came about. */
  private located(statement: Statement, scope: Scope): Ending {
    try {
      return this.statement(statement, scope);
    } catch (error) {
      if (error instanceof TemplateError) error.line ??= statement.line;
      throw error;
    }
  }

  private statement(statement: Statement, scope: Scope): Ending {
    switch (statement.kind) {
      case 'text':
        this.write(statement.text);
        return 'end';
      case 'print':
        for (const value of statement.values) this.write(printed(evaluate(value, scope), scope));
        return 'end';
      case 'set':
        assign(statement.target, evaluate(statement.value, scope), scope);
        return 'end';
      case 'set block':
        assign(statement.target, this.captured(statement.body, statement.filters, scope), scope);
        return 'end';
      case 'for':
        this.loop(statement, evaluate(statement.iterable, scope), scope, 1);
        return 'end';
      case 'if': {
        const branch = statement.branches.find(([test]) => isTrue(evaluate(test, scope)));
        return this.body(branch?.[1] ?? statement.otherwise, scope);
      }
      case 'with': {
        const values = statement.pairs.map(([, value]) => evaluate(value, scope));
        const inner = new Scope(scope);
        statement.pairs.forEach(([target], i) => assign(target, values[i]!, inner));
        return this.body(statement.body, inner);
      }
      case 'macro':
        scope.set(
          statement.name,
          macroOf(statement.name, statement, scope, (inner) => this.text(statement.body, inner)),
        );
        return 'end';
      case 'call block': {
        const caller = macroOf('caller', statement, scope, (inner) => this.text(statement.body, inner));
        const { positional, named } = argumentsOf(statement.call.args, scope);
        const callee = evaluate(statement.call.callee, scope);
        this.write(printed(call(callee, { positional, named: new Map([...named, ['caller', caller]]) }, scope), scope));
        return 'end';
      }
      case 'filter block':
        this.write(printed(this.captured(statement.body, statement.filters, scope), scope));
        return 'end';
      case 'generation':
        return this.body(statement.body, new Scope(scope));
      case 'break':
      case 'continue':
        return statement.kind;
    }
  }

  private write(text: string): void {
    this.numCharacters += text.length;
    if (this.numCharacters > MAX_CHARACTERS) {
      throw new TemplateError('TEMPLATE_LIMIT', `the template writes more than ${MAX_CHARACTERS} characters`);
    }
    if (text !== '') this.parts.push(text);
  }

  private captured(body: Body, filters: readonly FilterCall[], scope: Scope): Value {
    const inner = new Scope(scope);
    return filters.reduce<Value>((value, filter) => filtered(value, filter, inner), this.text(body, inner));
  }

  /** What a body writes, which is taken out of what is written. */
  private text(body: Body, scope: Scope): string {
    const begin = this.parts.length;
    this.body(body, scope);
    return this.parts.splice(begin).join('');
  }

  private loop(statement: ForStatement, iterable: Value, scope: Scope, depth: number): void {
    const all = itemsOf(iterable);
    scope.work.add(all.length);
    const items = this.chosen(statement, all, scope);
    const again = (more: Value): string => {
      const begin = this.parts.length;
      this.loop(statement, more, scope, depth + 1);
      return this.parts.splice(begin).join('');
    };
    const state = new LoopState(items, depth, statement.isRecursive ? again : null);
    // As in Jinja2, a loop that was left in its first round counts as one without rounds.
    let isWhole = false;
    for (const [i, item] of items.entries()) {
      const inner = new Scope(scope);
      state.index = i;
      inner.set('loop', state.value);
      assign(statement.target, item, inner);
      const ending = this.body(statement.body, inner);
      if (ending === 'break') break;
      if (ending === 'end') isWhole = true;
    }
    if (!isWhole) this.body(statement.otherwise, new Scope(scope));
  }

  private chosen({ test, target }: ForStatement, items: readonly Value[], scope: Scope): readonly Value[] {
    if (test === null) return items;
    return items.filter((item) => {
      const inner = new Scope(scope);
      inner.set(
        'loop',
        new Undefined(
          "'loop' is undefined: the filter section of a loop as well as the else block don't have access to it",
        ),
      );
      assign(target, item, inner);
      return isTrue(evaluate(test, inner));
    });
  }
}

function assign(target: Target, value: Value, scope: Scope): void {
  if (target.kind === 'name') scope.set(target.name, value);
  else if (target.kind === 'targets') {
    const items = unpacked(value, target.items.length);
    target.items.forEach((each, i) => assign(each, items[i]!, scope));
  } else {
    const namespace = scope.get(target.name);
    if (!(namespace instanceof Attributed) || namespace.assign === undefined) {
      throw failed('cannot assign attribute on non-namespace object');
    }
    namespace.assign(target.attribute, value);
  }
}
