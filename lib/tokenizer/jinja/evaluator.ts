/** What expressions are worth. */
import { attributeOf, itemOf, sliceOf } from './values/access.js';
import { binary } from './values/arithmetic.js';
import { compare, isEqual, isIn, isTrue, numberOf } from './values/compare.js';
import { failed } from './values/errors.js';
import type { Lookup } from './functions/filter.js';
import { itemsOf } from './values/iterate.js';
import { LIST_FILTERS } from './functions/list_filters.js';
import type { CallArguments, ComparisonOperator, Expression, FilterCall } from './syntax/nodes.js';
import type { Scope } from './scope.js';
import { TESTS } from './functions/tests.js';
import { TEXT_FILTERS } from './functions/text_filters.js';
import { textOf } from './values/text.js';
import {
  Attributed,
  Callable,
  Dict,
  Range,
  Tuple,
  typeName,
  Undefined,
  type Arguments,
  type Value,
} from './values/values.js';

const FILTERS = { ...TEXT_FILTERS, ...LIST_FILTERS };

/** The value of an expression where names have these values. @throws TemplateError */
export function evaluate(expression: Expression, scope: Scope): Value {
  const value = worth(expression, scope);
  scope.work.add(MAKERS.has(expression.kind) ? 1 + sizeOf(value) : 1);
  return value;
}

/** Expressions that may make something large; others name what is there. */
const MAKERS: ReadonlySet<Expression['kind']> = new Set([
  'list',
  'item',
  'call',
  'filter',
  'binary',
  'concat',
] as const);

/** Filters that don't go through what they get. */
const AT_ONCE: readonly string[] = ['length', 'count', 'first', 'default', 'd', 'string', 'safe'];

/** What it costs to make a value or to go through it. */
const sizeOf = (value: Value): number =>
  typeof value === 'string' ? value.length / 64 : value instanceof Range || Array.isArray(value) ? value.length : 0;

function worth(expression: Expression, scope: Scope): Value {
  switch (expression.kind) {
    case 'constant':
      return expression.value;
    case 'name':
      return scope.get(expression.name);
    case 'list':
      return expression.items.map((item) => evaluate(item, scope));
    case 'tuple':
      return new Tuple(expression.items.map((item) => evaluate(item, scope)));
    case 'dict':
      return new Dict(expression.pairs.map(([key, value]) => [evaluate(key, scope), evaluate(value, scope)]));
    case 'attribute': {
      const object = evaluate(expression.object, scope);
      scope.work.add(sizeOf(object)); // of a list or text it is a method
      return attributeOf(object, expression.name);
    }
    case 'item':
      return item(evaluate(expression.object, scope), expression.index, scope);
    case 'slice':
      throw failed('a slice stands where a value is needed');
    case 'call':
      return call(evaluate(expression.callee, scope), argumentsOf(expression.args, scope));
    case 'filter':
      return filtered(evaluate(expression.object, scope), expression.filter, scope);
    case 'test':
      return LOOKUP.test(expression.name, evaluate(expression.object, scope), argumentsOf(expression.args, scope));
    case 'not':
      return !isTrue(evaluate(expression.operand, scope));
    case 'negative':
    case 'positive':
      return signed(expression.kind, evaluate(expression.operand, scope));
    case 'and':
    case 'or': {
      const left = evaluate(expression.left, scope);
      return isTrue(left) === (expression.kind === 'or') ? left : evaluate(expression.right, scope);
    }
    case 'binary':
      return binary(expression.operator, evaluate(expression.left, scope), evaluate(expression.right, scope));
    case 'concat':
      return expression.parts.map((part) => textOf(evaluate(part, scope))).join('');
    case 'compare':
      return compared(expression.first, expression.rest, scope);
    case 'conditional':
      if (isTrue(evaluate(expression.test, scope))) return evaluate(expression.then, scope);
      if (expression.otherwise !== null) return evaluate(expression.otherwise, scope);
      return new Undefined('the inline if-expression evaluated to false and no else section was defined.');
  }
}

function item(object: Value, index: Expression, scope: Scope): Value {
  if (index.kind !== 'slice') return itemOf(object, evaluate(index, scope));
  return sliceOf(
    object,
    index.parts.map((part) => (part === null ? null : evaluate(part, scope))),
  );
}

function signed(kind: 'negative' | 'positive', value: Value): Value {
  const number = numberOf(value);
  if (number !== null) return kind === 'negative' ? -number : number;
  throw value instanceof Undefined
    ? value.error
    : failed(`bad operand type for unary ${kind === 'negative' ? '-' : '+'}: '${typeName(value)}'`);
}

/** A chain: `a < b < c` is `a < b and b < c`. */
function compared(
  first: Expression,
  rest: readonly (readonly [ComparisonOperator, Expression])[],
  scope: Scope,
): boolean {
  let left = evaluate(first, scope);
  for (const [operator, expression] of rest) {
    const right = evaluate(expression, scope);
    scope.work.add(sizeOf(right));
    if (!holds(operator, left, right)) return false;
    left = right;
  }
  return true;
}

function holds(operator: ComparisonOperator, left: Value, right: Value): boolean {
  switch (operator) {
    case '==':
      return isEqual(left, right);
    case '!=':
      return !isEqual(left, right);
    case 'in':
      return isIn(left, right);
    case 'not in':
      return !isIn(left, right);
    case '<':
      return compare(left, right, operator) < 0;
    case '<=':
      return compare(left, right, operator) <= 0;
    case '>':
      return compare(left, right, operator) > 0;
    case '>=':
      return compare(left, right, operator) >= 0;
  }
}

/** @throws TemplateError TEMPLATE_FAILED where a value can't be called, and what it throws */
export function call(callee: Value, args: Arguments): Value {
  if (callee instanceof Callable) return callee.call(args);
  if (callee instanceof Attributed && callee.call !== undefined) return callee.call(args);
  throw callee instanceof Undefined ? callee.error : failed(`'${typeName(callee)}' object is not callable`);
}

/** Arguments as a call has them. @throws TemplateError */
export function argumentsOf({ positional, named, spread, namedSpread }: CallArguments, scope: Scope): Arguments {
  const values = positional.map((each) => evaluate(each, scope));
  if (spread !== null) values.push(...itemsOf(evaluate(spread, scope)));
  const byName = new Map(named.map(([name, each]) => [name, evaluate(each, scope)]));
  if (namedSpread !== null) {
    const more = evaluate(namedSpread, scope);
    if (!(more instanceof Dict)) throw failed(`argument after ** must be a mapping, not ${typeName(more)}`);
    for (const [name, value] of more.entries()) byName.set(textOf(name), value);
  }
  return { positional: values, named: byName };
}

/** What a filter makes of a value. @throws TemplateError */
export function filtered(value: Value, { name, args }: FilterCall, scope: Scope): Value {
  if (!AT_ONCE.includes(name)) scope.work.add(sizeOf(value));
  return LOOKUP.filter(name, value, argumentsOf(args, scope));
}

const LOOKUP: Lookup = {
  filter: (name, value, args) => {
    const filter = Object.hasOwn(FILTERS, name) ? FILTERS[name] : undefined;
    if (filter === undefined) throw failed(`No filter named '${name}'.`);
    return filter(value, args, LOOKUP);
  },
  test: (name, value, { positional, named }) => {
    const test = Object.hasOwn(TESTS, name) ? TESTS[name] : undefined;
    if (test === undefined) throw failed(`No test named '${name}'.`);
    return test(value, ...positional, ...named.values());
  },
};
