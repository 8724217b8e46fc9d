/** What expressions are worth. */
import { attributeOf, itemOf, sliceOf } from './values/access.js';
import { binary, type BinaryOperator } from './values/arithmetic.js';
import { compare, isEqual, isIn, isTrue, numberOf } from './values/compare.js';
import { failed } from './values/errors.js';
import type { Lookup } from './functions/filter.js';
import { hasSurrogates, itemsOf } from './values/iterate.js';
import { LIST_FILTERS } from './functions/list_filters.js';
import type { CallArguments, ComparisonOperator, Expression, FilterCall } from './syntax/nodes.js';
import type { Scope } from './scope.js';
import { TESTS } from './functions/tests.js';
import { TEXT_FILTERS } from './functions/text_filters.js';
import { textOf } from './values/text.js';
import { sizeOf, type Work } from './work.js';
import { Attributed, Callable, Dict, Tuple, typeName, Undefined, type Arguments, type Value } from './values/values.js';

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

/** Filters that don't go through what they get, but for texts. */
const AT_ONCE: readonly string[] = ['length', 'count', 'first', 'default', 'd', 'attr'];

/** Filters that go through members, and not through what is in these. */
const SHALLOW: readonly string[] = [
  ...['list', 'last', 'reverse', 'items', 'map', 'batch', 'slice'],
  ...['select', 'reject', 'selectattr', 'rejectattr'],
];

/** Tests that compare, or write a value as text; others look at its kind alone. */
const DEEP_TESTS: readonly string[] = [
  ...['==', 'eq', 'equalto', '!=', 'ne', '>', 'gt', 'greaterthan', '<', 'lt', 'lessthan', '>=', 'ge', '<=', 'le'],
  ...['lower', 'upper'],
];

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
      return new Dict(expression.pairs.map(([key, value]) => [keyOf(key, scope), evaluate(value, scope)]));
    case 'attribute': {
      const object = evaluate(expression.object, scope);
      if (!(object instanceof Dict)) scope.work.walk(object); // of a list or text it is a method
      return attributeOf(object, expression.name);
    }
    case 'item':
      return item(evaluate(expression.object, scope), expression.index, scope);
    case 'slice':
      throw failed('a slice stands where a value is needed');
    case 'call':
      return call(evaluate(expression.callee, scope), argumentsOf(expression.args, scope), scope);
    case 'filter':
      return filtered(evaluate(expression.object, scope), expression.filter, scope);
    case 'test':
      return lookupOf(scope.work).test(
        expression.name,
        evaluate(expression.object, scope),
        argumentsOf(expression.args, scope),
      );
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
      return computed(expression.operator, evaluate(expression.left, scope), evaluate(expression.right, scope), scope);
    case 'concat':
      return expression.parts.map((part) => printed(evaluate(part, scope), scope)).join('');
    case 'compare':
      return compared(expression.first, expression.rest, scope);
    case 'conditional':
      if (isTrue(evaluate(expression.test, scope))) return evaluate(expression.then, scope);
      if (expression.otherwise !== null) return evaluate(expression.otherwise, scope);
      return new Undefined('the inline if-expression evaluated to false and no else section was defined.');
  }
}

function item(object: Value, index: Expression, scope: Scope): Value {
  // Such a text is cut into its characters first, which takes longer.
  if (typeof object === 'string' && hasSurrogates(object)) scope.work.add(object.length / 2);
  if (index.kind !== 'slice') return itemOf(object, keyOf(index, scope));
  return sliceOf(
    object,
    index.parts.map((part) => (part === null ? null : evaluate(part, scope))),
  );
}

function keyOf(expression: Expression, scope: Scope): Value {
  const key = evaluate(expression, scope);
  if (typeof key === 'object') scope.work.walk(key);
  return key;
}

function computed(operator: BinaryOperator, left: Value, right: Value, scope: Scope): Value {
  if (operator === '%') scope.work.walk(right); // which a text may be formatted with
  return binary(operator, left, right);
}

/** A value as a template prints it. @throws TemplateError TEMPLATE_LIMIT */
export function printed(value: Value, scope: Scope): string {
  if (typeof value === 'object') scope.work.walk(value);
  return textOf(value);
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
    if (operator === 'in' || operator === 'not in') walkToFind(left, right, scope.work);
    else scope.work.compare(left, right);
    if (!holds(operator, left, right)) return false;
    left = right;
  }
  return true;
}

function walkToFind(item: Value, container: Value, work: Work): void {
  work.walk(item);
  if (!(container instanceof Dict)) work.walk(container);
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
export function call(callee: Value, args: Arguments, { work }: Scope): Value {
  if (callee instanceof Callable) {
    const isMacro = callee.attributes.size > 0; // what it does with its arguments is counted there
    if (!isMacro) work.walk(...args.positional, ...args.named.values());
    return callee.call(args);
  }
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
export const filtered = (value: Value, { name, args }: FilterCall, scope: Scope): Value =>
  lookupOf(scope.work).filter(name, value, argumentsOf(args, scope));

/** Filters and tests, also those that filters apply to members: what they go through counts. */
function lookupOf(work: Work): Lookup {
  const lookup: Lookup = {
    filter: (name, value, args) => {
      const filter = Object.hasOwn(FILTERS, name) ? FILTERS[name] : undefined;
      if (filter === undefined) throw failed(`No filter named '${name}'.`);
      if (AT_ONCE.includes(name)) work.add(typeof value === 'string' ? sizeOf(value) : 0);
      else if (SHALLOW.includes(name)) work.add(sizeOf(value));
      else work.walk(value, ...args.positional, ...args.named.values());
      return filter(value, args, lookup);
    },
    test: (name, value, { positional, named }) => {
      const test = Object.hasOwn(TESTS, name) ? TESTS[name] : undefined;
      if (test === undefined) throw failed(`No test named '${name}'.`);
      const others = [...positional, ...named.values()];
      if (name === 'in') walkToFind(value, others[0] ?? null, work);
      else if (DEEP_TESTS.includes(name)) {
        if (others.length === 0) work.walk(value);
        else work.compare(value, others[0]!);
      }
      return test(value, ...others);
    },
  };
  return lookup;
}
