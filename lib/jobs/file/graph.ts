/** Which node comes behind which. Pure. */
import { pathText } from '../../config/layers.js';
import { errorAt, nearestOf, type OriginOf } from '../../experiment/file/checked_part.js';

/** Names of nodes with those that they wait for. */
export type Needs = Readonly<Record<string, readonly string[]>>;

/**
 * The names, each behind what it needs; otherwise as they stand.
 * @param path of the mapping of nodes in the file
 * @throws ConfigError for a need that isn't there, one that is said twice, and for a circle
 */
export function orderOf(needs: Needs, path: readonly PropertyKey[], originOf: OriginOf): readonly string[] {
  const names = Object.keys(needs);
  for (const name of names) checkNeeds(name, needs, path, originOf);
  const order: string[] = [];
  while (order.length < names.length) {
    const next = names.find((name) => !order.includes(name) && needs[name]!.every((need) => order.includes(need)));
    if (next === undefined)
      throw inCircle(
        names.filter((name) => !order.includes(name)),
        needs,
        path,
        originOf,
      );
    order.push(next);
  }
  return order;
}

function checkNeeds(name: string, needs: Needs, path: readonly PropertyKey[], originOf: OriginOf): void {
  const own = needs[name]!;
  for (const [i, need] of own.entries()) {
    const place = [...path, name, 'needs', i];
    const what = `"${pathText([...path, name, 'needs'])}" has ${need}`;
    if (own.indexOf(need) < i) throw errorAt(originOf, place, 'INVALID_VALUE', `${what} twice; leave one out`);
    if (Object.hasOwn(needs, need)) continue;
    const names = Object.keys(needs).filter((each) => each !== name);
    const advice = nearestOf(need, names, `nodes are ${Object.keys(needs).join(', ')}`);
    throw errorAt(originOf, place, 'INVALID_VALUE', `${what}, and there is no such node; ${advice}`);
  }
}

/** Of names that all wait for one of them. */
function inCircle(names: readonly string[], needs: Needs, path: readonly PropertyKey[], originOf: OriginOf): Error {
  const seen: string[] = [];
  let at = names[0]!;
  while (!seen.includes(at)) {
    seen.push(at);
    at = needs[at]!.find((need) => names.includes(need))!;
  }
  const circle = [...seen.slice(seen.indexOf(at)), at];
  const text = `nodes wait for each other (${circle.join(' → ')}); leave one of these needs out`;
  return errorAt(originOf, [...path, at, 'needs'], 'INVALID_VALUE', text);
}
