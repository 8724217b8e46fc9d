/** From `shards` of a file to those of a job: values may stand in a file of their own. */
import { readFile } from 'node:fs/promises';
import { causeText, jsonOrUndefined, shown, textOf } from '../../../base/foreign_text.js';
import { errorAt } from '../../experiment/file/checked_part.js';
import { MAX_SHARDS, type Json, type Shards } from '../base/job.js';
import type { NodeFile } from './job_schema.js';
import { existingFile, type FilePlace } from './place.js';

/** @throws ConfigError */
export async function shardsOf(shards: NodeFile['shards'], place: FilePlace): Promise<Shards> {
  if (shards === undefined) return { kind: 'count', count: 1 };
  if (typeof shards === 'number') return { kind: 'count', count: shards };
  if (shards === 'broadcast') return { kind: 'broadcast' };
  if (Array.isArray(shards)) return { kind: 'each', items: shards };
  return { kind: 'each', items: await itemsOf(shards.file, { ...place, path: [...place.path, 'file'] }) };
}

async function itemsOf(file: string, { path, originOf, cwd }: FilePlace): Promise<readonly Json[]> {
  const found = existingFile(file, 'file of values', { path, originOf, cwd });
  const fail = (text: string): never => {
    throw errorAt(originOf, path, 'INVALID_VALUE', `${shown(file)} ${text}`);
  };
  const text = await readFile(found)
    .then(textOf)
    .catch((cause: unknown) => fail(`can't be read (${causeText(cause)}); give another file`));
  const items = found.endsWith('.json')
    ? jsonOrUndefined(text)
    : lineItems(text, /\.(jsonl|ndjson)$/.test(found), fail);
  if (!Array.isArray(items)) return fail('is no list of JSON; write [1, 2, 3]');
  if (items.length === 0) return fail('has no value; a node has one shard at least');
  if (items.length > MAX_SHARDS)
    return fail(`has ${items.length} values, and a node has ${MAX_SHARDS} shards at most; put several into one`);
  return items as readonly Json[];
}

/** Empty lines don't count. */
function lineItems(text: string, isJson: boolean, fail: (text: string) => never): readonly unknown[] {
  const lines = text.split(/\r?\n/).flatMap((line, i) => (line.trim() === '' ? [] : [{ line, number: i + 1 }]));
  if (!isJson) return lines.map(({ line }) => line);
  return lines.map(({ line, number }) => {
    const value = jsonOrUndefined(line);
    return value === undefined ? fail(`has no JSON in line ${number} (${shown(line, 60)}); correct the line`) : value;
  });
}
