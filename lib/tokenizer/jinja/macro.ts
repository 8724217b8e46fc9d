/** Macros: bodies with parameters. */
import { failed } from './values/errors.js';
import { evaluate } from './evaluator.js';
import type { Body, Expression, Signature } from './syntax/nodes.js';
import { Scope } from './scope.js';
import { Callable, Dict, Tuple, Undefined, type Arguments, type Value } from './values/values.js';

/**
 * What calls a body.
 *
 * @param scope where the macro stands: what its body sees besides its parameters
 * @param run what the body writes in a scope
 */
export function macroOf(
  name: string,
  macro: { readonly signature: Signature; readonly body: Body },
  scope: Scope,
  run: (scope: Scope) => string,
): Callable {
  const { signature } = macro;
  const uses = {
    varargs: mentions(macro.body, 'varargs'),
    kwargs: mentions(macro.body, 'kwargs'),
    caller: mentions(macro.body, 'caller'),
  };
  const attributes = new Map<string, Value>([
    ['name', name],
    ['arguments', new Tuple(signature.map((parameter) => parameter.name))],
    ['catch_kwargs', uses.kwargs],
    ['catch_varargs', uses.varargs],
    ['caller', uses.caller],
  ]);
  return new Callable(name, (args) => run(bound(name, signature, args, uses, scope)), attributes);
}

interface Uses {
  readonly varargs: boolean;
  readonly kwargs: boolean;
  readonly caller: boolean;
}

function bound(name: string, signature: Signature, { positional, named }: Arguments, uses: Uses, scope: Scope): Scope {
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
  if (uses.caller) inner.set('caller', rest.get('caller') ?? new Undefined('No caller defined'));
  if (uses.caller) rest.delete('caller');
  if (uses.kwargs) inner.set('kwargs', new Dict(rest));
  else if (rest.has('caller'))
    throw failed(`macro '${name}' was invoked with two values for the special caller argument or doesn't use it`);
  else if (rest.size > 0) throw failed(`macro '${name}' takes no keyword argument '${[...rest.keys()][0]!}'`);
  if (uses.varargs) inner.set('varargs', new Tuple(positional.slice(signature.length)));
  else if (positional.length > signature.length)
    throw failed(`macro '${name}' takes not more than ${signature.length} argument(s)`);
  return inner;
}

/** Whether a name stands anywhere in it. */
function mentions(node: unknown, name: string): boolean {
  if (Array.isArray(node)) return node.some((each) => mentions(each, name));
  if (typeof node !== 'object' || node === null) return false;
  const { kind, name: own } = node as { readonly kind?: unknown; readonly name?: unknown };
  return (kind === 'name' && own === name) || Object.values(node).some((each) => mentions(each, name));
}
