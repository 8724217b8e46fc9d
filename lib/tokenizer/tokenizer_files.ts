import { join } from 'node:path';
import { readChatTemplates } from './chat_template_files.js';
import { parse, readTextIfPresent } from './checked_files.js';
import type { PipelineParts } from './pipeline/pipeline.js';
import { tokenizerConfigSchema, type TokenizerConfig } from './tokenizer_config.js';
import { readVocabulary } from './vocabulary_files.js';

/** The tokenizer's part of a model folder in Hugging Face layout. */
export interface TokenizerFiles {
  /** Path of the file with the vocabulary: tokenizer.json, or one of another format. */
  readonly file: string;
  readonly tokenizer: PipelineParts;
  /** tokenizer_config.json, or an empty one when the folder has none. */
  readonly config: TokenizerConfig;
  /** Jinja source by name; 'default' is the one of models that have one alone. */
  readonly chatTemplates: ReadonlyMap<string, string>;
}

/**
 * Reads and checks the tokenizer's files.
 *
 * @returns undefined when the folder has no tokenizer
 * @throws TokenizerError INVALID_TOKENIZER, READ_FAILED
 */
export async function readTokenizerFiles(dir: string): Promise<TokenizerFiles | undefined> {
  const configFile = join(dir, 'tokenizer_config.json');
  const config = parse(tokenizerConfigSchema, (await readTextIfPresent(configFile)) ?? '{}', configFile);
  const vocabulary = await readVocabulary(dir, config);
  if (vocabulary === undefined) return undefined;
  const { file, tokenizer, names } = vocabulary;
  const chatTemplates = await readChatTemplates(dir, config.chat_template);
  return { file, tokenizer, config: { ...names, ...config }, chatTemplates };
}
