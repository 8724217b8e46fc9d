/** Objects of Kubernetes, checked against its own schemas: fields that it doesn't know are refused. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { repoRoot } from '../paths.js';

type Definitions = Readonly<Record<string, z.core.JSONSchema.BaseSchema>>;

const read = (name: string): Definitions =>
  (JSON.parse(readFileSync(join(repoRoot(), 'test/data/kubernetes', name), 'utf8')) as { readonly $defs: Definitions })
    .$defs;

const DEFINITIONS: Definitions = { ...read('kubernetes_1.37.json'), ...read('leader_worker_set.json') };
const schemas = new Map<string, z.ZodType>();

function schemaOf(kind: string): z.ZodType {
  const found = schemas.get(kind);
  if (found !== undefined) return found;
  const made = z.fromJSONSchema({ $defs: DEFINITIONS, $ref: `#/$defs/${kind}` });
  schemas.set(kind, made);
  return made;
}

/** What is wrong with an object, a line each: 'spec.template: …'. `kind`: default as the object says. */
export function mistakesIn(object: unknown, kind = (object as { readonly kind: string }).kind): readonly string[] {
  if (!(kind in DEFINITIONS)) return [`kind ${kind} has no schema here`];
  const result = schemaOf(kind).safeParse(object);
  return result.success ? [] : result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
}
