import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { printable, shown } from '../../base/foreign_text.js';
import { folderAdvice } from '../hub/cache/cached_model.js';
import { WeightError } from './errors.js';
import { isNotFound, parseJsonObject, readFailed, readIfPresent } from './model_files.js';

/** The safetensors files of a model folder. */
export type Shards =
  | { readonly paths: readonly [string]; readonly pathByTensor?: undefined }
  | {
      /** Paths in the order of the file names. */
      readonly paths: readonly string[];
      /** Where the index says that each tensor is. */
      readonly pathByTensor: ReadonlyMap<string, string>;
      readonly indexFile: string;
    };

/**
 * Finds the weights of a model folder: `model.safetensors` if it exists, otherwise `model.safetensors.index.json`.
 *
 * @throws WeightError MODEL_NOT_FOUND, MISSING_SHARD, INVALID_JSON, READ_FAILED
 */
export async function findShards(dir: string): Promise<Shards> {
  const found = await listFolder(dir);
  if (found.includes(SINGLE_FILE)) return { paths: [join(dir, SINGLE_FILE)] };
  if (!found.includes(INDEX_FILE)) {
    throw notFound(
      dir,
      `holds neither ${SINGLE_FILE} nor ${INDEX_FILE} (it holds ${printable(found.join(', ')) || 'nothing'})`,
    );
  }
  const indexFile = join(dir, INDEX_FILE);
  const bytes = await readIfPresent(indexFile);
  if (bytes === undefined) throw notFound(dir, `holds no readable ${INDEX_FILE}`);
  const fileByTensor = parseWeightMap(bytes, indexFile);
  const files = filesOf(fileByTensor);
  await checkPresent(dir, files, indexFile);
  return {
    paths: files.map((file) => join(dir, file)),
    pathByTensor: new Map([...fileByTensor].map(([tensor, file]) => [tensor, join(dir, file)])),
    indexFile,
  };
}

/** The weights of a folder that needs no shards. */
export const SINGLE_FILE = 'model.safetensors';
/** Says which shard holds which tensor. */
export const INDEX_FILE = 'model.safetensors.index.json';

/** The shards that an index names, in the order of their names. `file`: its path, for messages. @throws WeightError INVALID_JSON */
export const shardsNamedBy = (index: Uint8Array, file: string): readonly string[] =>
  filesOf(parseWeightMap(index, file));

const filesOf = (fileByTensor: ReadonlyMap<string, string>): readonly string[] =>
  [...new Set(fileByTensor.values())].sort();

async function listFolder(dir: string): Promise<readonly string[]> {
  try {
    return (await readdir(dir)).sort();
  } catch (cause) {
    if (isNotFound(cause)) throw notFound(dir, 'does not exist or is not a folder');
    throw readFailed(dir, cause);
  }
}

function parseWeightMap(bytes: Uint8Array, file: string): ReadonlyMap<string, string> {
  const invalid = (what: string) =>
    new WeightError('INVALID_JSON', `${file}: ${what}; download the index again`, { file });
  const weightMap = parseJsonObject(bytes, file).weight_map;
  if (typeof weightMap !== 'object' || weightMap === null || Array.isArray(weightMap)) {
    throw invalid('"weight_map" is missing or not an object');
  }
  const entries = Object.entries(weightMap as Record<string, unknown>);
  if (entries.length === 0) throw invalid('"weight_map" names no tensor');
  return new Map(
    entries.map(([tensor, shard]) => {
      // A plain name only: an index that came with a download must not make us open files outside of its folder.
      if (typeof shard !== 'string' || !/^[^/\\]+\.safetensors$/.test(shard)) {
        throw invalid(
          `"weight_map" gives ${shown(shard)} for "${printable(tensor)}", not the name of a safetensors file`,
        );
      }
      return [tensor, shard];
    }),
  );
}

async function checkPresent(dir: string, files: readonly string[], indexFile: string): Promise<void> {
  const isPresent = await Promise.all(
    files.map((file) =>
      access(join(dir, file)).then(
        () => true,
        (cause: unknown) => !isNotFound(cause),
      ),
    ),
  );
  const missing = files.filter((_, i) => !isPresent[i]);
  if (missing.length === 0) return;
  throw new WeightError(
    'MISSING_SHARD',
    `${indexFile} names ${files.length} files, of which ${missing.length} do not exist in ${dir}: ` +
      `${printable(missing.slice(0, 5).join(', '))}${missing.length > 5 ? ', …' : ''}; ${folderAdvice(dir, 'download them')}`,
    { file: join(dir, missing[0]!) },
  );
}

function notFound(dir: string, what: string): WeightError {
  return new WeightError(
    'MODEL_NOT_FOUND',
    `${dir} ${what}; give a folder in Hugging Face layout, with config.json and ${SINGLE_FILE} or ${INDEX_FILE}`,
    { file: dir },
  );
}
