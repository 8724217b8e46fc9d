import { closest, distance } from 'fastest-levenshtein';
import { shown } from '../../base/foreign_text.js';
import { valueAt } from '../../base/foreign_value.js';
import { ConfigError } from './errors.js';
import { DEFAULTS } from './schema.js';

/** A tree of keys that is being put together; leaves are values that nobody has checked. */
export type ConfigTree = Record<string, unknown>;

/** Where a value came from. */
export interface Origin {
  /** How a message names the place: 'run.yaml:3', '--set a.b=c', 'the command line'. */
  readonly where: string;
  readonly file?: string | undefined;
  /** Line in the file, from 1. */
  readonly line?: number | undefined;
}

/** One source of values; a later layer overrides an earlier one key by key. */
export interface Layer {
  readonly values: unknown;
  /** The place of a key of this layer, or of something inside its value. */
  originOf(path: readonly PropertyKey[]): Origin;
}

/** The values of all layers, and which layer each key's value is from. */
export interface Merged {
  readonly tree: ConfigTree;
  /** Where the value at a path came from; undefined for a default and for a key that was not given. */
  originOf(path: readonly PropertyKey[]): Origin | undefined;
}

/**
 * Lays layers over the defaults. Lists are replaced as a whole; a section that is given without any content changes
 * nothing, so that all of its keys may be commented out.
 *
 * @throws ConfigError UNKNOWN_KEY, WRONG_TYPE when a section is not one
 */
export function mergeLayers(layers: readonly Layer[]): Merged {
  const tree = structuredClone(KNOWN) as ConfigTree;
  delete tree.model;
  const sources = new Map<string, Layer>();
  for (const layer of layers) mergeInto(tree, KNOWN, layer.values, [], layer, sources);
  return {
    tree,
    originOf(path) {
      // The value of a key may be a list: what is inside of it came from the same layer.
      for (let length = path.length; length > 0; length--) {
        const source = sources.get(pathText(path.slice(0, length)));
        if (source !== undefined) return source.originOf(path);
      }
      return undefined;
    },
  };
}

/** A path as it is written with --set: 'comm.timeout_ms'. */
export function pathText(path: readonly PropertyKey[]): string {
  return path.map(String).join('.');
}

/**
 * True when `candidate` may be what the author of `name` meant: two letters may differ, or two fifths of a long name.
 * A guess from farther away would mislead.
 */
export function isNear(name: string, candidate: string): boolean {
  return distance(name, candidate) <= Math.max(2, name.length / 2.5);
}

/** The paths of all keys that have a value, not of sections. */
export const keyPaths = (): readonly (readonly string[])[] =>
  allPaths(KNOWN, []).filter((path) => !isTree(valueAt(KNOWN, path)));

/** Mappings whose keys are not ours; layers are merged in them key by key, at any depth. */
const FREE: readonly string[] = ['model_overrides', 'resident_overrides', 'generate.chat_template_kwargs'];

/** Every key there is, with its default; only the keys matter here. */
const KNOWN: Readonly<ConfigTree> = { model: undefined, ...DEFAULTS };

function mergeInto(
  target: ConfigTree,
  known: Readonly<ConfigTree>,
  values: unknown,
  path: readonly string[],
  layer: Layer,
  sources: Map<string, Layer>,
): void {
  if (values === null || values === undefined) return;
  if (!isTree(values)) throw notASection(values, path, known, layer.originOf(path));
  for (const [name, value] of Object.entries(values)) {
    const keyPath = [...path, name];
    if (!Object.hasOwn(known, name)) throw unknownKey(keyPath, known, layer.originOf(keyPath));
    const below = known[name];
    if (FREE.includes(pathText(keyPath))) {
      if (value === null || value === undefined) continue;
      target[name] = isTree(value) ? mergedFreely(target[name] as ConfigTree, value, keyPath, layer, sources) : value;
      sources.set(pathText(keyPath), layer);
    } else if (isTree(below)) {
      mergeInto(target[name] as ConfigTree, below, value, keyPath, layer, sources);
    } else if (value !== undefined) {
      target[name] = value;
      sources.set(pathText(keyPath), layer);
    }
  }
}

function mergedFreely(
  old: Readonly<ConfigTree>,
  values: Readonly<ConfigTree>,
  path: readonly string[],
  layer: Layer,
  sources: Map<string, Layer>,
): ConfigTree {
  const merged = { ...old };
  for (const [name, value] of Object.entries(values)) {
    const keyPath = [...path, name];
    const before = merged[name];
    merged[name] = isTree(before) && isTree(value) ? mergedFreely(before, value, keyPath, layer, sources) : value;
    sources.set(pathText(keyPath), layer);
  }
  return merged;
}

function isTree(value: unknown): value is ConfigTree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function notASection(
  got: unknown,
  path: readonly string[],
  known: Readonly<ConfigTree>,
  { where, file, line }: Origin,
): ConfigError {
  const key = pathText(path);
  const what = key === '' ? 'the configuration' : `"${key}"`;
  return new ConfigError(
    'WRONG_TYPE',
    `${where}: ${what} is ${shown(got)}; give a mapping with any of ${Object.keys(known).join(', ')}`,
    { key: key === '' ? undefined : key, file, line },
  );
}

/** Keys that there were, and what does the same. */
const REPLACED: Readonly<Record<string, string>> = { 'kernels.int8_activations': 'kernels.activations: int8' };

function unknownKey(path: readonly string[], known: Readonly<ConfigTree>, origin: Origin): ConfigError {
  const key = pathText(path);
  const instead = REPLACED[key];
  const advice = instead === undefined ? adviceFor(path, known) : `write "${instead}" instead`;
  const section = path.length === 1 ? 'the top level' : `"${pathText(path.slice(0, -1))}"`;
  return new ConfigError(
    'UNKNOWN_KEY',
    `${origin.where}: there is no key "${path.at(-1)!}" in ${section}; ${advice} ` +
      `(its keys are ${Object.keys(known).join(', ')})`,
    { key, file: origin.file, line: origin.line },
  );
}

function adviceFor(path: readonly string[], known: Readonly<ConfigTree>): string {
  const suggestion = suggest(path, known);
  if (suggestion !== undefined) return `did you mean "${suggestion}"?`;
  return path.at(-1)!.includes('.') ? 'write every part of the path as a mapping of its own' : 'remove it';
}

/**
 * The key that was probably meant: the same name at another level, else the nearest name of this level, of which one that only has more words comes
 * first, else the nearest of all levels. Undefined when nothing is near.
 */
function suggest(path: readonly string[], known: Readonly<ConfigTree>): string | undefined {
  const name = path.at(-1)!;
  const names = Object.keys(known);
  const nearest = names.find((other) => hasMoreWords(other, name)) ?? closest(name, names);
  const elsewhere = allPaths(KNOWN, []).toSorted((a, b) => distance(name, a.at(-1)!) - distance(name, b.at(-1)!))[0]!;
  if (elsewhere.at(-1) !== name && isNear(name, nearest)) return pathText([...path.slice(0, -1), nearest]);
  return isNear(name, elsewhere.at(-1)!) ? pathText(elsewhere) : undefined;
}

/** max_tokens is max_new_tokens rather than min_tokens, which fewer letters are needed for. */
function hasMoreWords(name: string, than: string): boolean {
  const words = than.split('_');
  return words.length > 1 && words.every((word) => name.split('_').includes(word));
}

function allPaths(tree: Readonly<ConfigTree>, above: readonly string[]): readonly (readonly string[])[] {
  return Object.entries(tree).flatMap(([name, below]) => {
    const path = [...above, name];
    return isTree(below) ? [path, ...allPaths(below, path)] : [path];
  });
}
