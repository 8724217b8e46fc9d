/** What the schema's keys take, and what messages say of it and of what stands at a path of a schema. */
import * as z from 'zod';
import { PLUGIN_NAMES } from './plugin_names.js';

/** A JavaScript type that a key's value may have. */
export type ValueType = 'string' | 'number' | 'boolean' | 'list' | 'mapping' | 'null';

/** What the messages say about a key. */
export interface KeyInfo {
  /** What is allowed, to follow "allowed is". */
  readonly allowed: string;
  readonly types: readonly ValueType[];
}

const keyInfos = z.registry<KeyInfo>();

/** The literal. */
export const auto = z.literal('auto');
/** Either. */
export const boolean = key(z.boolean(), 'true or false', 'boolean');
/** Or none. */
export const pemFile = key(z.string().min(1).nullable(), 'the path of a PEM file, or null', 'string', 'null');

/** What messages say of a part of a schema; undefined: nothing. */
export const infoOf = (node: unknown): KeyInfo | undefined =>
  node instanceof z.ZodType ? keyInfos.get(node) : undefined;

/** Attaches what the messages say. */
export function key<T extends z.ZodType>(type: T, allowed: string, ...types: readonly ValueType[]): T {
  keyInfos.add(type, { allowed, types });
  return type;
}

function rangeText(min: number, max: number): string {
  return max === Number.MAX_SAFE_INTEGER ? `an integer ≥ ${min}` : `an integer from ${min} to ${max}`;
}

/** Both ends are allowed. */
export function integer(min: number, max: number) {
  return key(z.int().min(min).max(max), rangeText(min, max), 'number');
}

/** Both ends are allowed. */
export function autoOrInteger(min: number, max: number) {
  return key(z.union([auto, z.int().min(min).max(max)]), `auto or ${rangeText(min, max)}`, 'string', 'number');
}

/** The name of something that plug-ins may bring. */
export function named(path: keyof typeof PLUGIN_NAMES) {
  return key(z.string().min(1), `${PLUGIN_NAMES[path].builtIn.join(', ')}, or what a plug-in brings`, 'string');
}

/** One of these texts. */
export function choice<const T extends readonly string[]>(...values: T) {
  return key(z.enum(values), values.join(', '), 'string');
}

/** What a key takes, by its path, or by the path of something inside its value; undefined for a section. */
export function infoAt(schema: z.ZodType, path: readonly PropertyKey[]): KeyInfo | undefined {
  let node: unknown = schema;
  let info = infoThrough(node);
  for (const part of path) {
    node = partOf(bare(node), part);
    info = infoThrough(node) ?? info;
  }
  return info;
}

/** Keys of the mapping at a path; empty where none is. */
export function keysIn(schema: z.ZodType, path: readonly PropertyKey[]): readonly string[] {
  return keysOf(path.reduce((above: unknown, part) => partOf(bare(above), part), schema));
}

/** Of all mappings that it may be. */
function keysOf(node: unknown): readonly string[] {
  const inside = bare(node);
  if (inside instanceof z.ZodUnion) return [...new Set(inside.options.flatMap(keysOf))];
  return inside instanceof z.ZodObject ? Object.keys(inside.shape) : [];
}

/** One layer of what only says how the value comes out, or that it may be absent; null: there is none. */
function insideOf(node: unknown): unknown {
  if (node instanceof z.ZodPipe) return node.in;
  const isWrapper =
    node instanceof z.ZodReadonly ||
    node instanceof z.ZodDefault ||
    node instanceof z.ZodPrefault ||
    node instanceof z.ZodOptional ||
    node instanceof z.ZodNullable;
  return isWrapper ? node.unwrap() : null;
}

function bare(node: unknown): unknown {
  const inside = insideOf(node);
  return inside === null ? node : bare(inside);
}

/** The outermost that says something. */
function infoThrough(node: unknown): KeyInfo | undefined {
  const inside = insideOf(node);
  return infoOf(node) ?? (inside === null ? undefined : infoThrough(inside));
}

function partOf(node: unknown, part: PropertyKey): unknown {
  if (node instanceof z.ZodArray) return node.element;
  if (node instanceof z.ZodRecord) return node.valueType;
  if (node instanceof z.ZodUnion) return node.options.map((each) => partOf(bare(each), part)).find(Boolean);
  return node instanceof z.ZodObject ? (node.shape as Readonly<Record<PropertyKey, unknown>>)[part] : undefined;
}

const BYTES_OF = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 } as const;
/** More is a slip. */
const MAX_BYTES = 2 ** 50;

/** '1GiB', '1.5 MiB' or a number of bytes; a number of bytes comes out. */
const sizes = z.union([
  z.int().min(1).max(MAX_BYTES),
  z
    .string()
    .regex(/^\d{1,16}(\.\d{1,6})? ?(B|KiB|MiB|GiB|TiB)$/)
    .transform(bytesOfText)
    .pipe(z.int().min(1).max(MAX_BYTES)),
]);

/** A size. */
export const size = key(sizes, 'a size as 512MiB, 10GiB or a number of bytes', 'string', 'number');
/** Or none. */
export const sizeOrNull = key(
  sizes.nullable(),
  'a size as 512MiB, 10GiB or a number of bytes, or null',
  'string',
  'number',
  'null',
);

function bytesOfText(text: string): number {
  const [, number, unit] = /^([\d.]+) ?(\w+)$/.exec(text)!;
  return Math.round(Number(number) * BYTES_OF[unit as keyof typeof BYTES_OF]);
}
