/** Files of a tokenizer as they are read and checked: what is wrong is told with the file and the place in it. */
import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import { causeText, printable } from '../../base/foreign_text.js';
import { isLfsPointer, LFS_ADVICE, parsePythonJson } from '../weights/json_text.js';
import { isNotFound } from '../weights/model_files.js';
import { TokenizerError } from './errors.js';

/** The bytes of a file; undefined where there is none. @throws TokenizerError READ_FAILED, INVALID_TOKENIZER for a pointer of Git */
export async function readBytesIfPresent(file: string): Promise<Uint8Array | undefined> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    if (isNotFound(cause)) return undefined;
    throw new TokenizerError('READ_FAILED', `${file}: ${causeText(cause)}; check the file and its permissions`, {
      file,
      cause,
    });
  }
  if (isLfsPointer(bytes)) throw new TokenizerError('INVALID_TOKENIZER', `${file} ${LFS_ADVICE}`, { file });
  return bytes;
}

/** The text of a file; undefined where there is none. @throws TokenizerError READ_FAILED, INVALID_TOKENIZER */
export async function readTextIfPresent(file: string): Promise<string | undefined> {
  const bytes = await readBytesIfPresent(file);
  if (bytes === undefined) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw invalidTokenizer(file, 'the file is not UTF-8', cause);
  }
}

/** JSON as Python writes it, by a schema. @throws TokenizerError INVALID_TOKENIZER with the place */
export function parse<T extends z.ZodType>(schema: T, text: string, file: string): z.infer<T> {
  let json: unknown;
  try {
    json = parsePythonJson(text);
  } catch (cause) {
    throw invalidTokenizer(file, `not valid JSON (${causeText(cause)})`, cause);
  }
  const checked = schema.safeParse(json);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  const where = issue!.path.length === 0 ? 'the file' : `"${printable(issue!.path.map(String).join('.'))}"`;
  throw invalidTokenizer(file, `${where}: ${printable(issue!.message)}`, checked.error);
}

/** The error for a tokenizer file that is not what its format asks for. */
export function invalidTokenizer(file: string, what: string, cause?: unknown): TokenizerError {
  return new TokenizerError('INVALID_TOKENIZER', `${file}: ${what}; download the tokenizer's files again`, {
    file,
    cause,
  });
}
