/** Macros: bodies with parameters. */
import { failed } from './values/errors.js';
import { evaluate } from './evaluator.js';
import type { Expression, MacroParts } from './syntax/nodes.js';
import { Scope } from './scope.js';
import { Callable, Dict, Tuple, Undefined, type Arguments, type Value } from './values/values.js';

/**
 * What calls a body.
 *
 * @param scope where the macro stands: what its body sees besides its parameters
 * @param run what the body writes in a scope
 */
export function macroOf(name: string, macro: MacroParts, scope: Scope, run: (scope: Scope) => string): Callable {
  const { signature, specialNames } = macro;
  const attributes = new Map<string, Value>([
    ['name', name],
    ['arguments', new Tuple(signature.map((parameter) => parameter.name))],
    ['catch_kwargs', specialNames.has('kwargs')],
    ['catch_varargs', specialNames.has('varargs')],
    ['caller', specialNames.has('caller')],
  ]);
  return new Callable(name, (args) => run(bound(name, macro, args, scope)), attributes);
}

function bound(name: string, macro: MacroParts, { positional, named }: Arguments, scope: Scope): Scope {
  const { signature, specialNames } = macro;
  const inner = new Scope(scope);
  const rest = new Map(named);
  const pending: (readonly [string, Expression])[] = [];
  for (const [i, { name: parameter, fallback }] of signature.entries()) {
    const value = i < positional.length ? positional[i] : rest.get(parameter);
    if (i >= positional.length) rest.delete(parameter);
    if (value === undefined && fallback !== null) pending.push([parameter, fallback]);
    inner.set(parameter, value === undefined ? new Undefined(`parameter '${parameter}' was not provided`) : value);
  }
  for (const [parameter, fallback] of pending) inner.set(parameter, evaluate(fallback, inner));
  if (specialNames.has('caller')) {
    inner.set('caller', rest.get('caller') ?? new Undefined('No caller defined'));
    rest.delete('caller');
  }
  if (specialNames.has('kwargs')) inner.set('kwargs', new Dict(rest));
  else if (rest.has('caller'))
    throw failed(`macro '${name}' was invoked with two values for the special caller argument or doesn't use it`);
  else if (rest.size > 0) throw failed(`macro '${name}' takes no keyword argument '${[...rest.keys()][0]!}'`);
  if (specialNames.has('varargs')) inner.set('varargs', new Tuple(positional.slice(signature.length)));
  else if (positional.length > signature.length)
    throw failed(`macro '${name}' takes not more than ${signature.length} argument(s)`);
  return inner;
}
