/** What the schema's keys take, and what messages say of it. */
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
