/** Which runs `--only` asks for. Pure. */
import { isDeepStrictEqual } from 'node:util';
import { parse } from 'yaml';
import { printable, shown } from '../../../base/foreign_text.js';
import type { Json, PlannedRun } from '../../experiment/base/run.js';
import { nearestName } from '../advice/near_names.js';
import { UsageError } from '../base/context.js';

/** Of a run, beside keys of the sweep. */
const OWN_KEYS = ['id', 'round', 'seed', 'repeat'] as const;

/**
 * Whether a run is asked for. Several values of a key are alternatives; of several keys all have to be as they say.
 *
 * @throws UsageError for a key or value that no run has
 */
export function onlyRuns(
  conditions: readonly string[] = [],
  runs: readonly PlannedRun[],
): (run: PlannedRun) => boolean {
  const valuesOf = new Map<string, Json[]>();
  for (const condition of conditions) {
    const [key, value] = conditionOf(condition, runs);
    valuesOf.set(key, [...(valuesOf.get(key) ?? []), value]);
  }
  const isWanted = (run: PlannedRun): boolean =>
    [...valuesOf].every(([key, values]) => values.some((value) => isDeepStrictEqual(valueOf(run, key), value)));
  if (runs.length > 0 && !runs.some(isWanted))
    throw new UsageError(`no run has ${conditions.map((each) => printable(each)).join(' and ')}; see --dry-run`);
  return isWanted;
}

function conditionOf(condition: string, runs: readonly PlannedRun[]): readonly [key: string, value: Json] {
  const [key, text] = partsOf(condition);
  const keys = [...new Set([...runs.flatMap(({ point }) => Object.keys(point)), ...OWN_KEYS])];
  if (!keys.includes(key)) {
    const near = nearestName(key, keys);
    const meant =
      near === undefined
        ? `there are ${keys.map((each) => printable(each)).join(', ')}`
        : `did you mean ${printable(near)}?`;
    throw new UsageError(`--only ${printable(condition)}: '${printable(key)}' is not swept; ${meant}`);
  }
  const values = distinct(runs.map((run) => valueOf(run, key)));
  const value = values.find((each) => isSame(each, text));
  if (value !== undefined) return [key, value];
  const some = values.slice(0, MAX_SHOWN).map((each) => shown(each));
  const more = values.length > MAX_SHOWN ? ', …' : '';
  throw new UsageError(`--only ${printable(condition)}: no run has that value; it has ${some.join(', ')}${more}`);
}

const MAX_SHOWN = 12;

function partsOf(condition: string): readonly [key: string, text: string] {
  const equals = condition.indexOf('=');
  if (equals > 0) return [condition.slice(0, equals), condition.slice(equals + 1)];
  throw new UsageError(`--only ${printable(condition)} is no KEY=VALUE; give such as parallel.ranks=2`);
}

/** As the file may write it, or as it is. */
function isSame(value: Json, text: string): boolean {
  if (value === text) return true;
  try {
    return isDeepStrictEqual(value, parse(text));
  } catch {
    return false;
  }
}

const distinct = (values: readonly (Json | undefined)[]): readonly Json[] => [
  ...new Map(
    values.flatMap((value) => (value === undefined ? [] : [[JSON.stringify(value), value] as const])),
  ).values(),
];

const isOwn = (key: string): key is (typeof OWN_KEYS)[number] => (OWN_KEYS as readonly string[]).includes(key);

const valueOf = (run: PlannedRun, key: string): Json | undefined => (isOwn(key) ? run[key] : run.point[key]);
