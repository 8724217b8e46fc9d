/** What stands at a path of a schema. Pure. */
import * as z from 'zod';
import { infoOf, type KeyInfo } from './key_types.js';

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
