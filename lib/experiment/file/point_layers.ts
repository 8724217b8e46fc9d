/** Where a point's values go: into the configuration, the workload or the measure. Pure. */
import { shown } from '../../../base/foreign_text.js';
import { pathText, type Layer } from '../../config/layers.js';
import type { Json } from '../base/run.js';
import { errorAt, type OriginOf } from './checked_part.js';
import { LABEL, type SweptPoint } from './sweep.js';

type Path = readonly PropertyKey[];
type Mapping = Readonly<Record<string, Json>>;

/** Parts of the file that a swept key may begin with; all others are of the configuration. */
export const PARTS = ['workload', 'measure'] as const;

/** Values by whole keys, as a layer of the configuration. `placeOf`: where a key's value stands in the file. */
export function keysLayer(values: Mapping, placeOf: (key: string) => Path, originOf: OriginOf): Layer {
  const keys = Object.keys(values);
  const tree = keys.reduce<Json>((above, key) => withValue(above, key.split('.'), values[key]!), {});
  return {
    values: tree,
    originOf: (path) => {
      const key = keyOf(keys, path);
      return originOf(key === undefined ? [] : [...placeOf(key), ...path.slice(key.split('.').length)]);
    },
  };
}

/** The same, but for what it says of `model_overrides`: mappings whose keys aren't ours are merged, so that a layer above it can't take anything away. */
export const withoutOverrides = (layer: Layer): Layer => ({
  ...layer,
  values: { ...(layer.values as object | null | undefined), model_overrides: undefined },
});

/** What of a point is for the configuration. */
export function sweepLayer({ values, places }: SweptPoint, originOf: OriginOf): Layer {
  const own = Object.entries(values).filter(([key]) => partOf(key) === 'config');
  return keysLayer(Object.fromEntries(own), (key) => places[key]!, originOf);
}

/** `workload` or `measure` of the file, with the point's values in it. @throws ConfigError for a key of something that has none */
export function withSwept(part: (typeof PARTS)[number], base: Mapping, point: SweptPoint, originOf: OriginOf): Mapping {
  let value: Json = base;
  for (const [key, swept] of Object.entries(point.values)) {
    if (partOf(key) !== part) continue;
    const [, ...path] = key.split('.');
    const scalar = path.findIndex((_, i) => i > 0 && !isOpen(at(value, path.slice(0, i))));
    if (scalar >= 0) {
      const above = [part, ...path.slice(0, scalar)];
      const text = `"${key}" is swept, and "${pathText(above)}" is ${shown(at(value, path.slice(0, scalar)))}, which has no keys; make it a mapping`;
      throw errorAt(originOf, point.places[key]!, 'WRONG_TYPE', text);
    }
    value = withValue(value, path, swept);
  }
  return value as Mapping;
}

/** Where something of workload or measure stands: in the sweep, or in its own section. */
export function placeIn({ places }: SweptPoint, path: Path): Path {
  const key = keyOf(Object.keys(places), path);
  return key === undefined ? path : [...places[key]!, ...path.slice(key.split('.').length)];
}

/** Which part of a run a swept key is of; 'label': none. */
export function partOf(key: string): (typeof PARTS)[number] | 'config' | 'label' {
  if (key === LABEL) return 'label';
  return PARTS.find((part) => key.startsWith(`${part}.`)) ?? 'config';
}

/** The key that has a path in it, or that is in it. */
function keyOf(keys: readonly string[], path: Path): string | undefined {
  const text = pathText(path);
  return (
    keys.find((key) => text === key || text.startsWith(`${key}.`)) ?? keys.find((key) => key.startsWith(`${text}.`))
  );
}

const isMapping = (value: Json | undefined): value is Mapping =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Whether a key may be put into it. */
const isOpen = (value: Json | undefined): boolean => value === undefined || value === null || isMapping(value);

const at = (value: Json | undefined, path: readonly string[]): Json | undefined =>
  path.reduce<Json | undefined>((node, key) => (isMapping(node) ? node[key] : undefined), value);

/** A copy with a value at a path; mappings that are swept as a whole are merged with what is there. */
function withValue(above: Json | undefined, [key, ...rest]: readonly string[], value: Json): Json {
  const mapping = isMapping(above) ? above : {};
  const below = mapping[key!];
  if (rest.length > 0) return { ...mapping, [key!]: withValue(below, rest, value) };
  return { ...mapping, [key!]: isMapping(below) && isMapping(value) ? { ...below, ...value } : value };
}
