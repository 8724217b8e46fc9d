/** The texts of a run that are scored: which, what part of each, and in pieces of how many tokens. */
import { readFile } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import * as z from 'zod';
import { causeText, shown, textOf } from '../../../base/foreign_text.js';
import { piecesOf, prefixOf } from '../../compare/pieces.js';
import { ConfigError } from '../../config/errors.js';
import { integer, key } from '../../config/key_types.js';
import type { OpenedModel } from '../../head/opened_model.js';
import { mostTokensOf } from '../../protocol/limits.js';
import type { Tokenizer } from '../../tokenizer/tokenizer.js';
import type { PlannedRun } from '../base/run.js';
import { filePath, labelledText } from './keys.js';

/** More is a slip. */
const MAX_TEXTS = 65_536;
const MAX_TOKENS = 2 ** 24;

const text = labelledText(2);

/** Keys of `workload` that say what is scored. */
export const textKeys = {
  texts: key(
    z.array(text).max(MAX_TEXTS).default([]),
    'a list of texts, of { label, text } or of { label, token_ids }',
    'list',
  ),
  text_files: key(
    z.array(filePath()).max(MAX_TEXTS).default([]),
    'a list of paths of files; the label of each is its name without its ending',
    'list',
  ),
  label: key(
    z.string().min(1).nullable().default(null),
    'the label of the texts that are scored, or null for all of them',
    ...(['string', 'null'] as const),
  ),
  skip_tokens: integer(0, MAX_TOKENS).default(0),
  max_tokens: key(
    z.int().min(2).max(MAX_TOKENS).nullable().default(null),
    `an integer from 2 to ${MAX_TOKENS}, or null for all`,
    ...(['number', 'null'] as const),
  ),
  piece_tokens: key(
    z.int().min(2).max(MAX_TOKENS).nullable().default(null),
    `an integer from 2 to ${MAX_TOKENS}, or null for what the context has room for`,
    ...(['number', 'null'] as const),
  ),
};

/** What those keys come to. */
export type TextKeys = z.infer<z.ZodObject<typeof textKeys>>;

/** A text as the engine scores it: each piece by itself. */
export interface ScoredText {
  readonly label: string | null;
  /** Of at least two tokens each; what the tokenizer puts before a text stands before each. */
  readonly pieces: readonly (readonly number[])[];
}

type Asked = Pick<PlannedRun, 'config' | 'workload'>;
type Model = Pick<OpenedModel, 'limits' | 'tokenizer'>;

/** @throws ConfigError where there is none, or one that can't be read or is too short; TokenizerError */
export async function textsOf(run: Asked, model: Model): Promise<ScoredText[]> {
  const keys = run.workload as unknown as TextKeys;
  const files = await Promise.all(keys.text_files.map(fileText));
  const given = [...keys.texts, ...files].map((each) => (typeof each === 'string' ? { text: each } : each));
  if (given.length === 0) {
    const what = 'there is no text to score; give workload.texts or workload.text_files';
    throw new ConfigError('MISSING_KEY', what, { key: 'workload.texts' });
  }
  const wanted = given.filter(({ label: own }) => keys.label === null || own === keys.label);
  if (wanted.length === 0) throw noLabel(keys.label!, given);
  return wanted.map((each) => scoredText(each, keys, run.config.model, model));
}

function noLabel(wanted: string, given: readonly { readonly label?: string | undefined }[]): ConfigError {
  const labels = [...new Set(given.map(({ label: own }) => own ?? null))].filter((own) => own !== null);
  const what = `"workload.label" is ${shown(wanted)}, and no text has that label; labels are ${labels.join(', ')}`;
  return new ConfigError('INVALID_VALUE', what, { key: 'workload.label' });
}

function scoredText(
  given: Exclude<z.infer<typeof text>, string>,
  { skip_tokens: numSkipped, max_tokens: most, piece_tokens: pieceTokens }: TextKeys,
  name: string,
  { tokenizer, limits }: Model,
): ScoredText {
  const own = 'token_ids' in given ? given.token_ids : encoded(given.text, name, tokenizer);
  const prefix = tokenizer === undefined || 'token_ids' in given ? [] : prefixOf(tokenizer);
  const part = own.slice(numSkipped, most === null ? undefined : numSkipped + most);
  const scored = piecesOf(part, prefix, Math.min(pieceTokens ?? Infinity, mostTokensOf(limits)));
  if (scored.length > 0) return { label: given.label ?? null, pieces: scored };
  const what = `the text ${given.label ?? ''} has ${own.length} tokens, of which ${part.length} are to be scored`;
  throw new ConfigError('INVALID_VALUE', `${what}; give at least 2 (workload.skip_tokens, max_tokens)`, {
    key: 'workload.texts',
  });
}

function encoded(given: string, name: string, tokenizer: Tokenizer | undefined): number[] {
  if (tokenizer !== undefined) return tokenizer.encode(given, { addSpecialTokens: false });
  const why = `${name} has no tokenizer; give texts as { token_ids: [5, 17, 3] }`;
  throw new ConfigError('INVALID_VALUE', why, { key: 'workload.texts' });
}

async function fileText(file: string): Promise<{ readonly label: string; readonly text: string }> {
  try {
    return { label: basename(file, extname(file)), text: textOf(await readFile(file)) };
  } catch (cause) {
    const what = `workload.text_files has ${file}, which can't be read (${causeText(cause)}); give files with text`;
    throw new ConfigError('NOT_FOUND', what, { key: 'workload.text_files', file, cause });
  }
}
