/** Tests: what stands behind `is`, as Jinja2 has it. */
import { binary } from '../values/arithmetic.js';
import { compare, isEqual, isIn, numberOf } from '../values/compare.js';
import { hasMembers } from '../values/iterate.js';
import { TEXT_TESTS } from '../values/text_case.js';
import { textOf } from '../values/text.js';
import { Attributed, Callable, Dict, Lazy, Undefined, View, type Value } from '../values/values.js';

/** A test of a value, with the arguments that it may have. */
export type Test = (value: Value, ...others: readonly Value[]) => boolean;

const order =
  (operator: string, isIt: (sign: number) => boolean): Test =>
  (value, other = null) =>
    isIt(compare(value, other, operator));

const rest = (value: Value, by: bigint): bigint => binary('%', value, by) as bigint;
const equal: Test = (value, other = null) => isEqual(value, other);
const unequal: Test = (value, other = null) => !isEqual(value, other);
const greater = order('>', (sign) => sign > 0);
const less = order('<', (sign) => sign < 0);
const notLess = order('>=', (sign) => sign >= 0);
const notGreater = order('<=', (sign) => sign <= 0);

/** Tests by name. */
export const TESTS: Readonly<Record<string, Test>> = {
  defined: (value) => !(value instanceof Undefined),
  undefined: (value) => value instanceof Undefined,
  none: (value) => value === null,
  boolean: (value) => typeof value === 'boolean',
  true: (value) => value === true,
  false: (value) => value === false,
  integer: (value) => typeof value === 'bigint',
  float: (value) => typeof value === 'number',
  number: (value) => numberOf(value) !== null,
  string: (value) => typeof value === 'string',
  mapping: (value) => value instanceof Dict,
  iterable: (value) => hasMembers(value),
  sequence: (value) => !(value instanceof Lazy) && !(value instanceof View) && hasMembers(value),
  callable: (value) =>
    value instanceof Callable ||
    (value instanceof Attributed && value.call !== undefined) ||
    value instanceof Undefined,
  odd: (value) => isEqual(rest(value, 2n), 1n),
  even: (value) => isEqual(rest(value, 2n), 0n),
  divisibleby: (value, by = null) => isEqual(binary('%', value, by), 0n),
  lower: (value) => TEXT_TESTS.islower!(textOf(value)),
  upper: (value) => TEXT_TESTS.isupper!(textOf(value)),
  sameas: (value, other = null) => Object.is(value, other),
  in: (value, container = null) => isIn(value, container),
  escaped: () => false,
  '==': equal,
  eq: equal,
  equalto: equal,
  '!=': unequal,
  ne: unequal,
  '>': greater,
  gt: greater,
  greaterthan: greater,
  '<': less,
  lt: less,
  lessthan: less,
  '>=': notLess,
  ge: notLess,
  '<=': notGreater,
  le: notGreater,
};
