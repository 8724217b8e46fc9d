import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { causeText, shown } from '../../base/foreign_text.js';
import { folderAdvice } from '../hub/cache/cached_model.js';
import { findDuplicateKey } from './duplicate_keys.js';
import { WeightError } from './errors.js';
import { isLfsPointer, LFS_ADVICE, parsePythonJson } from './json_text.js';

/** A JSON object as parsed: nothing is known about its values yet. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** What a model folder says about itself, besides weights and tokenizer. */
export interface ModelFiles {
  /** The model folder. */
  readonly dir: string;
  /** config.json. */
  readonly config: JsonObject;
  /** config.json as it is on disk, for the fingerprint. */
  readonly configBytes: Uint8Array;
  /** generation_config.json: end-of-sequence ids and suggested sampling; undefined when the folder has none. */
  readonly generationConfig: JsonObject | undefined;
  /** hf_quant_config.json, which NVIDIA's tools write beside quantised weights; undefined when the folder has none. */
  readonly quantConfig: JsonObject | undefined;
}

/**
 * Reads the JSON files of a model folder in Hugging Face layout.
 *
 * @throws WeightError MODEL_NOT_FOUND without a config.json, INVALID_JSON, GIT_LFS_POINTER, READ_FAILED
 */
export async function readModelFiles(dir: string): Promise<ModelFiles> {
  const names = [CONFIG, GENERATION_CONFIG, QUANT_CONFIG];
  const [configBytes, generationBytes, quantBytes] = await Promise.all(
    names.map((name) => readIfPresent(join(dir, name))),
  );
  const parsed = (bytes: Uint8Array | undefined, name: string): JsonObject | undefined =>
    bytes && parseJsonObject(bytes, join(dir, name));
  if (configBytes === undefined) {
    throw new WeightError(
      'MODEL_NOT_FOUND',
      `${join(dir, CONFIG)} does not exist; ${folderAdvice(dir, `give a folder in Hugging Face layout, with ${CONFIG} and model.safetensors`)}`,
      { file: join(dir, CONFIG) },
    );
  }
  return {
    dir,
    config: parseJsonObject(configBytes, join(dir, CONFIG)),
    configBytes,
    generationConfig: parsed(generationBytes, GENERATION_CONFIG),
    quantConfig: parsed(quantBytes, QUANT_CONFIG),
  };
}

/**
 * Parses a JSON file that must hold an object.
 *
 * @param file path, for messages
 * @throws WeightError INVALID_JSON: not UTF-8, not JSON, not an object, or a key that occurs twice; GIT_LFS_POINTER
 */
export function parseJsonObject(bytes: Uint8Array, file: string): JsonObject {
  const invalid = (what: string, cause?: unknown) =>
    new WeightError('INVALID_JSON', `${file} ${what}; correct the file or download it again`, { file, cause });
  if (isLfsPointer(bytes)) throw new WeightError('GIT_LFS_POINTER', `${file} ${LFS_ADVICE}`, { file });
  let text: string;
  let parsed: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    parsed = parsePythonJson(text);
  } catch (cause) {
    throw invalid(`is not valid JSON (${causeText(cause)})`, cause);
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw invalid('is not a JSON object');
  const duplicate = findDuplicateKey(text);
  if (duplicate !== undefined) throw invalid(`holds the key ${shown(duplicate)} twice`);
  return parsed as JsonObject;
}

/**
 * A file's bytes, or undefined when it (or its folder) does not exist.
 *
 * @throws WeightError READ_FAILED for every other reason
 */
export async function readIfPresent(file: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(file);
  } catch (cause) {
    if (isNotFound(cause)) return undefined;
    throw readFailed(file, cause);
  }
}

/** True when an error of the file system says that a path does not exist. */
export function isNotFound(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}

/** Wraps an error of the file system that is about `file`. */
export function readFailed(file: string, cause: unknown): WeightError {
  return new WeightError('READ_FAILED', `${file}: ${causeText(cause)}; check the file, its permissions and its disk`, {
    file,
    cause,
  });
}

const CONFIG = 'config.json';
const GENERATION_CONFIG = 'generation_config.json';
const QUANT_CONFIG = 'hf_quant_config.json';
