import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { uniform } from '../../../base/philox.js';
import { repoRoot } from '../paths.js';

type Json = Record<string, unknown>;

/** What a field holds instead; undefined: the field is gone. */
const WRONG = [undefined, undefined, null, 0, -1, 9, 1e300, '', 'x', [], {}, true, ['a'], { type: 'X' }];

/** Of long lists and vocabularies the first ones alone. */
const MAX_FIELDS = 12;

/** Every place in a value, as the keys that lead to it. */
function placesIn(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.keys(value)
    .slice(0, path.length > 1 ? MAX_FIELDS : undefined)
    .flatMap((key) => [[...path, key], ...placesIn((value as Json)[key], [...path, key])]);
}

/** One of the golden tokenizers with something wrong at one place, and what that is. */
export function spoiledTokenizer(seed: number): { readonly json: unknown; readonly what: string } {
  const folder = join(repoRoot(), 'test', 'data', 'tokenizers', 'kinds');
  const pick = <T>(from: readonly T[], nth: number): T => from[Math.floor(uniform(seed, 0, nth) * from.length)]!;
  const file = pick(readdirSync(folder).sort(), 0);
  const { tokenizer: json } = JSON.parse(readFileSync(join(folder, file), 'utf8')) as { tokenizer: Json };
  const place = pick(placesIn(json), 1);
  const wrong = pick(WRONG, 2);
  const holder = place.slice(0, -1).reduce((value, key) => value[key] as Json, json);
  if (wrong === undefined) Reflect.deleteProperty(holder, place.at(-1)!);
  else holder[place.at(-1)!] = wrong;
  return { json, what: `${file}: ${place.join('.')} = ${JSON.stringify(wrong)}` };
}
