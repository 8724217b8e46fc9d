/** Which files of a repository are fetched. Pure. Why: docs/decisions/hub.md#what-pull-takes-of-a-repository */
import { printable } from '../../base/foreign_text.js';
import { INDEX_FILE, shardsNamedBy, SINGLE_FILE } from '../weights/shards.js';
import { HubError } from './errors.js';
import type { RemoteFile } from './hub_repository.js';

/** Configuration, tokenizer of any kind, chat templates, code of tokenizers, what the authors say and allow: small, and of the root. */
const COMPANION =
  /^(?:[^/]+\.(?:json|jinja|txt|model|tiktoken|py|md)|(?:licen[cs]e|notice|use_policy)[^/]*|additional_chat_templates\/[^/]+\.jinja)$/i;
/** Indices of weights in other formats. */
const OTHER_INDEX = /\.(?:bin|h5|msgpack)\.index\.json$/;

/** All but weights that a folder of the model has. */
export const companionsOf = (files: readonly RemoteFile[]): readonly RemoteFile[] =>
  files.filter(({ path }) => COMPANION.test(path) && !OTHER_INDEX.test(path));

/**
 * The weights as the engine looks for them: one file, or those that the index names. Not: the same weights in other formats, or in other folders.
 *
 * @param index the content of the index, where the repository has one
 * @throws HubError NO_FILES; WeightError INVALID_JSON
 */
export function weightsOf(
  files: readonly RemoteFile[],
  index: { readonly bytes: Uint8Array; readonly path: string } | null,
): readonly RemoteFile[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const single = byPath.get(SINGLE_FILE);
  if (single !== undefined) return [single];
  if (index === null) throw noWeights(files);
  const shards = shardsNamedBy(index.bytes, index.path);
  const missing = shards.filter((shard) => !byPath.has(shard));
  if (missing.length === 0) return shards.map((shard) => byPath.get(shard)!);
  const what = `${INDEX_FILE} names ${shards.length} files, of which the repository lacks ${missing.length}: ${printable(missing.slice(0, 5).join(', '))}`;
  throw new HubError('NO_FILES', `${what}; ask its owner to complete it, or give another --revision`);
}

/**
 * Files that any of the patterns fits, as the hub's Python library takes them (`allow_patterns`): `*` stands for any text, slashes too, `?` for a character, `[a-c]` for
 * one of several; what ends with a slash means all below it.
 *
 * @throws HubError NO_FILES where there is none
 */
export function filesLike(files: readonly RemoteFile[], patterns: readonly string[]): readonly RemoteFile[] {
  const expressions = patterns.map(expressionOf);
  const found = files.filter(({ path }) => expressions.some((expression) => expression.test(path)));
  if (found.length > 0) return found;
  const some = files.slice(0, 8).map(({ path }) => path);
  const listed = `${printable(some.join(', '))}${files.length > some.length ? ', …' : ''}`;
  throw new HubError(
    'NO_FILES',
    `none of ${files.length} files is like ${printable(patterns.join(' or '))}; there are ${listed}`,
  );
}

function expressionOf(pattern: string): RegExp {
  const whole = pattern.endsWith('/') ? `${pattern}*` : pattern;
  const source = whole.replace(/\[(!?)(\]?[^\]]*)\]|[\s\S]/g, (all, not?: string, set?: string) => {
    if (set !== undefined) return `[${not === '!' ? '^' : ''}${set.replace(/[\\\]^]/g, '\\$&')}]`;
    if (all === '*') return '.*';
    return all === '?' ? '.' : all.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
  });
  return new RegExp(`^${source}$`, 's');
}

function noWeights(files: readonly RemoteFile[]): HubError {
  const others = files.filter(({ path }) => /\.(?:bin|pth?|gguf|onnx|safetensors|h5|msgpack)$/.test(path));
  const some = others.slice(0, 5).map(({ path }) => path);
  const there =
    some.length === 0 ? 'no weights at all' : `${printable(some.join(', '))}${others.length > 5 ? ', …' : ''}`;
  const what = `it has neither ${SINGLE_FILE} nor ${INDEX_FILE} in its root, but ${there}`;
  return new HubError('NO_FILES', `${what}; look for a repository in safetensors, or name files with --include`);
}
