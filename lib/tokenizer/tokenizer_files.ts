import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { isNotFound } from '../weights/model_files.js';
import { TokenizerError } from './errors.js';

const addedToken = z.looseObject({ id: z.int().min(0), content: z.string(), special: z.boolean() });

/** What is checked of tokenizer.json before the tokenizer library gets it; the library checks the rest. */
const tokenizerSchema = z.looseObject({
  added_tokens: z.array(addedToken),
  model: z.looseObject({
    vocab: z.union([z.record(z.string(), z.int().min(0)), z.array(z.tuple([z.string(), z.number()]))]),
  }),
});

/** A special token is named by its text, or described by an object that holds it. */
const tokenName = z
  .union([z.string(), z.looseObject({ content: z.string() })])
  .nullish()
  .transform((token) => (typeof token === 'object' ? token?.content : token));

const tokenizerConfigSchema = z.looseObject({
  bos_token: tokenName,
  eos_token: tokenName,
  chat_template: z.union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))]).nullish(),
});

/** The tokenizer's part of a model folder in Hugging Face layout. */
export interface TokenizerFiles {
  /** Path of tokenizer.json. */
  readonly file: string;
  readonly tokenizer: z.infer<typeof tokenizerSchema>;
  /** tokenizer_config.json, or an empty one when the folder has none. */
  readonly config: z.infer<typeof tokenizerConfigSchema>;
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
    tokenizer: parse(tokenizerSchema, tokenizer, file),
    config: checkedConfig,
    chatTemplate: template ?? templateOf(checkedConfig.chat_template),
  };
}

function templateOf(templates: TokenizerFiles['config']['chat_template']): string | undefined {
  if (typeof templates === 'string') return templates;
  return templates?.find(({ name }) => name === 'default')?.template;
}

async function readTextIfPresent(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    if (isNotFound(cause)) return undefined;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new TokenizerError('READ_FAILED', `${file}: ${reason}; check the file and its permissions`, { file, cause });
  }
}

function parse<T extends z.ZodType>(schema: T, text: string, file: string): z.infer<T> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw invalidTokenizer(file, `not valid JSON (${cause instanceof Error ? cause.message : String(cause)})`, cause);
  }
  const checked = schema.safeParse(json);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  const where = issue!.path.length === 0 ? 'the file' : `"${issue!.path.map(String).join('.')}"`;
  throw invalidTokenizer(file, `${where}: ${issue!.message}`, checked.error);
}

/** The error for a tokenizer file that is not what its format asks for. */
export function invalidTokenizer(file: string, what: string, cause?: unknown): TokenizerError {
  return new TokenizerError('INVALID_TOKENIZER', `${file}: ${what}; download the tokenizer's files again`, {
    file,
    cause,
  });
}
