import { join } from 'node:path';
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
  /** Jinja source: chat_template.jinja, else `chat_template` of the configuration ('default' when it has several). */
  readonly chatTemplate: string | undefined;
}

/**
 * Reads and checks the tokenizer's files.
 *
 * @returns undefined when the folder has no tokenizer
 * @throws TokenizerError INVALID_TOKENIZER, READ_FAILED
 */
export async function readTokenizerFiles(dir: string): Promise<TokenizerFiles | undefined> {
  const paths = ['tokenizer_config.json', 'chat_template.jinja'].map((name) => join(dir, name));
  const [config, template] = await Promise.all(paths.map(readTextIfPresent));
  const checkedConfig = parse(tokenizerConfigSchema, config ?? '{}', paths[0]!);
  const vocabulary = await readVocabulary(dir, checkedConfig);
  if (vocabulary === undefined) return undefined;
  const { file, tokenizer, names } = vocabulary;
  return {
    file,
    tokenizer,
    config: { ...names, ...checkedConfig },
    chatTemplate: template ?? templateOf(checkedConfig.chat_template),
  };
}

function templateOf(templates: TokenizerConfig['chat_template']): string | undefined {
  if (typeof templates === 'string') return templates;
  return templates?.find(({ name }) => name === 'default')?.template;
}
