/** From a sweep to its points. Pure. */
import { shown } from '../../../base/foreign_text.js';
import { pathText } from '../../config/layers.js';
import type { Json } from '../base/run.js';
import { errorAt, type OriginOf } from './checked_part.js';
import { MAX_RUNS, type ExperimentFile } from './file_schema.js';
import { canonicalJson } from './run_id.js';

type Path = readonly PropertyKey[];

/** Values of a point, and where the file has them. */
export interface SweptPoint {
  /** By whole keys, in the order of the file. */
  readonly values: Readonly<Record<string, Json>>;
  /** By the same keys. */
  readonly places: Readonly<Record<string, Path>>;
}

/** The name of a point given by hand: an axis of its own, no key of anything. */
export const LABEL = 'label';

/** What is swept together: each is one of the values. */
type Group = readonly SweptPoint[];

/**
 * The product of all keys of the grid, of what goes together in `zip`, and of the points of `list`: the first key of the file varies slowest. Without a sweep it is one
 * point without values.
 * @throws ConfigError for keys that are said twice, lists of different length, values that occur twice
 */
export function sweptPoints(sweep: ExperimentFile['sweep'], originOf: OriginOf): readonly SweptPoint[] {
  checkKeys(sweep, originOf);
  const groups = [...gridGroups(sweep.grid), ...zipGroups(sweep.zip, originOf), ...listGroups(sweep.list)];
  for (const group of groups) checkGroup(group, originOf);
  const numPoints = groups.reduce((product, { length }) => product * length, 1);
  if (numPoints > MAX_RUNS) {
    const text = `"sweep" has ${numPoints} points, and a file has ${MAX_RUNS} runs at most; leave some values out`;
    throw errorAt(originOf, ['sweep'], 'INVALID_VALUE', text);
  }
  const none: SweptPoint = { values: {}, places: {} };
  return groups.reduce<Group>(
    (points, group) => points.flatMap((point) => group.map((each) => merged(point, each))),
    [none],
  );
}

const merged = (a: SweptPoint, b: SweptPoint): SweptPoint => ({
  values: { ...a.values, ...b.values },
  places: { ...a.places, ...b.places },
});

const gridGroups = (grid: ExperimentFile['sweep']['grid']): readonly Group[] =>
  Object.entries(grid).map(([key, values]) =>
    values.map((value, i) => ({ values: { [key]: value }, places: { [key]: ['sweep', 'grid', key, i] } })),
  );

function zipGroups(zip: ExperimentFile['sweep']['zip'], originOf: OriginOf): readonly Group[] {
  const lists = Object.entries(zip);
  const [first] = lists;
  if (first === undefined) return [];
  const [name, { length }] = first;
  const other = lists.find(([, values]) => values.length !== length);
  if (other !== undefined) {
    const [key, values] = other;
    const text = `"${key}" has ${values.length} values, and "${name}" beside it ${length}; what is zipped goes together, one by one`;
    throw errorAt(originOf, ['sweep', 'zip', key], 'INVALID_VALUE', text);
  }
  const entryOf = (i: number): SweptPoint => ({
    values: Object.fromEntries(lists.map(([key, values]) => [key, values[i]!])),
    places: Object.fromEntries(lists.map(([key]) => [key, ['sweep', 'zip', key, i]])),
  });
  return [Array.from({ length }, (_, i) => entryOf(i))];
}

function listGroups(list: ExperimentFile['sweep']['list']): readonly Group[] {
  if (list === null) return [];
  const entryOf = (values: Readonly<Record<string, Json>>, i: number): SweptPoint => ({
    values,
    places: Object.fromEntries(Object.keys(values).map((key) => [key, ['sweep', 'list', i, key]])),
  });
  return [list.map(entryOf)];
}

/** Points must differ: repeats are for those that don't. */
function checkGroup(group: Group, originOf: OriginOf): void {
  const seen = new Set<string>();
  for (const [i, { values, places }] of group.entries()) {
    const [place = ['sweep', 'list']] = Object.values(places);
    const name = canonicalJson(values);
    if (seen.has(name)) {
      const text = `${shown(values)} occurs twice in "sweep"; leave one out ("repeats" measures all points several times)`;
      throw errorAt(originOf, place, 'INVALID_VALUE', text);
    }
    seen.add(name);
    const label = values[LABEL];
    if (label !== undefined && group.slice(0, i).some((before) => before.values[LABEL] === label)) {
      const text = `"${LABEL}" is ${shown(label)} of two points; give each a name of its own`;
      throw errorAt(originOf, places[LABEL]!, 'INVALID_VALUE', text);
    }
    if (label !== undefined && (typeof label !== 'string' || label === '')) {
      throw errorAt(originOf, places[LABEL]!, 'WRONG_TYPE', `"${LABEL}" is ${shown(label)}; allowed is a name`);
    }
  }
}

/** Each key stands in one place, and none inside another: which of them counts would be a guess. */
function checkKeys({ grid, zip, list }: ExperimentFile['sweep'], originOf: OriginOf): void {
  const ofList = (list ?? []).flatMap((values, i) =>
    Object.keys(values).map((key) => [key, ['sweep', 'list', i, key]]),
  );
  const all: readonly (readonly [string, Path])[] = [
    ...Object.keys(grid).map((key) => [key, ['sweep', 'grid', key]] as const),
    ...Object.keys(zip).map((key) => [key, ['sweep', 'zip', key]] as const),
    ...([...new Map(ofList as [string, Path][])] satisfies [string, Path][]),
  ];
  for (const [i, [key, place]] of all.entries()) {
    const before = all.slice(0, i).find(([other]) => isWithin(key, other) || isWithin(other, key));
    if (before === undefined) continue;
    const [other, otherPlace] = before;
    const text = `"${key}" is swept here, and ${other === key ? 'already' : `"${other}"`} in ${pathText(otherPlace.slice(0, 2))} (line ${originOf(otherPlace).line ?? '?'}); leave one of them out`;
    throw errorAt(originOf, place, 'INVALID_VALUE', text);
  }
}

const isWithin = (key: string, section: string): boolean => key === section || key.startsWith(`${section}.`);
