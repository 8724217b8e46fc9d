/** Operators of two operands, as Python has them. Pure. */
import { numberOf } from './compare.js';
import { failed, TemplateError } from './errors.js';
import { percentFormatted } from './percent_format.js';
import { Tuple, typeName, Undefined, type Value } from './values.js';

/** Operators of two operands that compute with both. */
export type BinaryOperator = '+' | '-' | '*' | '/' | '//' | '%' | '**';

/** The most that a product of a text or a list, or a power, may be long: characters, members, or bits. */
const MAX_LENGTH = 2 ** 24;

/** @throws TemplateError TEMPLATE_FAILED where Python refuses the operands; TEMPLATE_LIMIT where the result is too large */
export function binary(operator: BinaryOperator, left: Value, right: Value): Value {
  for (const value of [left, right]) if (value instanceof Undefined) throw value.error;
  const [x, y] = [numberOf(left), numberOf(right)];
  if (x !== null && y !== null) {
    return typeof x === 'bigint' && typeof y === 'bigint'
      ? ofIntegers(operator, x, y)
      : ofFloats(operator, Number(x), Number(y));
  }
  const result = ofOthers(operator, left, right);
  if (result !== undefined) return result;
  const name = operator === '**' ? '** or pow()' : operator;
  throw failed(`unsupported operand type(s) for ${name}: '${typeName(left)}' and '${typeName(right)}'`);
}

/** Undefined (JavaScript's): there is no such operation. */
function ofOthers(operator: BinaryOperator, left: Value, right: Value): Value | undefined {
  if (operator === '%' && typeof left === 'string') return percentFormatted(left, right);
  if (operator === '*') return repeated(left, right) ?? repeated(right, left);
  if (operator !== '+') return undefined;
  if (typeof left === 'string' && typeof right === 'string') return left + right;
  if (left instanceof Tuple && right instanceof Tuple) return new Tuple([...left.items, ...right.items]);
  if (Array.isArray(left) && Array.isArray(right)) return [...(left as Value[]), ...(right as Value[])];
  return undefined;
}

function repeated(value: Value, count: Value): Value | undefined {
  const times = numberOf(count);
  if (typeof times !== 'bigint') return undefined;
  const repeat = (length: number): number => {
    if (length * Number(times) > MAX_LENGTH) throw tooLarge();
    return Math.max(0, Number(times));
  };
  const list = (items: readonly Value[]): Value[] => Array.from({ length: repeat(items.length) }, () => items).flat();
  if (typeof value === 'string') return value.repeat(repeat(value.length));
  if (value instanceof Tuple) return new Tuple(list(value.items));
  return Array.isArray(value) ? list(value as Value[]) : undefined;
}

const tooLarge = (): TemplateError => new TemplateError('TEMPLATE_LIMIT', 'the result of * or ** is too large');

function ofIntegers(operator: BinaryOperator, x: bigint, y: bigint): Value {
  if (y === 0n && '/%'.includes(operator[0]!)) throw failed('division by zero');
  switch (operator) {
    case '+':
      return x + y;
    case '-':
      return x - y;
    case '*':
      if (numBits(x) + numBits(y) > MAX_LENGTH) throw tooLarge();
      return x * y;
    case '/':
      return Number(x) / Number(y);
    case '//':
      return (x - modulo(x, y)) / y;
    case '%':
      return modulo(x, y);
    case '**':
      if (y < 0n) return ofFloats('**', Number(x), Number(y));
      if (numBits(x) * Number(y) > MAX_LENGTH) throw tooLarge();
      return x ** y;
  }
}

/** Of its size. */
function numBits(x: bigint): number {
  const digits = (x < 0n ? -x : x).toString(16);
  return 4 * digits.length + 28 - Math.clz32(parseInt(digits[0]!, 16));
}

/** Has the sign of the divisor. */
const modulo = (x: bigint, y: bigint): bigint => ((x % y) + y) % y;

function ofFloats(operator: BinaryOperator, x: number, y: number): Value {
  if (y === 0 && '/%'.includes(operator[0]!)) throw failed('float division by zero');
  const rest = x % y;
  const remainder = rest !== 0 && rest < 0 !== y < 0 ? rest + y : rest;
  switch (operator) {
    case '+':
      return x + y;
    case '-':
      return x - y;
    case '*':
      return x * y;
    case '/':
      return x / y;
    case '//':
      return Math.round((x - remainder) / y);
    case '%':
      return remainder;
    case '**':
      if (x === 0 && y < 0) throw failed('0.0 cannot be raised to a negative power');
      return x ** y;
  }
}
