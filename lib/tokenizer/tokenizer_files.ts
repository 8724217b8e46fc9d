import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { causeText, printable } from '../../base/foreign_text.js';
import { isLfsPointer, LFS_ADVICE, parsePythonJson } from '../weights/json_text.js';
import { isNotFound } from '../weights/model_files.js';
import { TokenizerError } from './errors.js';
import { pipelineSchema, type PipelineParts } from './pipeline.js';

/** Names under which tokenizer_config.json has special tokens, and chat templates see them. */
export const SPECIAL_TOKENS = [
  'bos_token',
  'eos_token',
  'unk_token',
  'sep_token',
  'pad_token',
  'cls_token',
  'mask_token',
] as const;
/** One of {@link SPECIAL_TOKENS}. */
export type SpecialTokenName = (typeof SPECIAL_TOKENS)[number];

/** A special token is named by its text, or described by an object that holds it. */
const tokenName = z
  .union([z.string(), z.looseObject({ content: z.string() })])
  .nullish()
  .transform((token) => (typeof token === 'object' ? token?.content : token));

const tokenizerConfigSchema = z.looseObject({
  ...(Object.fromEntries(SPECIAL_TOKENS.map((name) => [name, tokenName])) as Record<
    SpecialTokenName,
    typeof tokenName
  >),
  tokenizer_class: z.string().nullish(),
  add_bos_token: z.boolean().nullish(),
  add_eos_token: z.boolean().nullish(),
  chat_template: z.union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))]).nullish(),
});

/** tokenizer_config.json, of which any key may be absent. */
export type TokenizerConfig = Partial<z.infer<typeof tokenizerConfigSchema>>;

/** The tokenizer's part of a model folder in Hugging Face layout. */
export interface TokenizerFiles {
  /** Path of tokenizer.json. */
  readonly file: string;
  readonly tokenizer: PipelineParts;
  /** tokenizer_config.json, or an empty one when the folder has none. */
  readonly config: TokenizerConfig;
  /** Jinja source: chat_template.jinja, else `chat_template` of the configuration ('default' when it has several). */
  readonly chatTemplate: string | undefined;
}

/**
 * Reads and checks the tokenizer's files.
 *
 * @returns undefined when the folder has no tokenizer.json
 * @throws TokenizerError INVALID_TOKENIZER, READ_FAILED
 */
export async function readTokenizerFiles(dir: string): Promise<TokenizerFiles | undefined> {
  const paths = ['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'].map((name) => join(dir, name));
  const [file, configFile] = paths as [string, string];
  const [tokenizer, config, template] = await Promise.all(paths.map(readTextIfPresent));
  if (tokenizer === undefined) return undefined;
  const checkedConfig = parse(tokenizerConfigSchema, config ?? '{}', configFile);
  return {
    file,
    tokenizer: parse(pipelineSchema, tokenizer, file),
    config: checkedConfig,
    chatTemplate: template ?? templateOf(checkedConfig.chat_template),
  };
}

function templateOf(templates: TokenizerConfig['chat_template']): string | undefined {
  if (typeof templates === 'string') return templates;
  return templates?.find(({ name }) => name === 'default')?.template;
}

async function readTextIfPresent(file: string): Promise<string | undefined> {
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
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw invalidTokenizer(file, 'the file is not UTF-8', cause);
  }
}

function parse<T extends z.ZodType>(schema: T, text: string, file: string): z.infer<T> {
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
