/** The file with a tokenizer's vocabulary, in any of the formats that checkpoints have. */
import { join } from 'node:path';
import { causeText, printable } from '../../base/foreign_text.js';
import { parse, readBytesIfPresent, readTextIfPresent } from './checked_files.js';
import { TokenizerError } from './errors.js';
import { isRankFile, RANK_FILE_CLASSES, rankFileKindOf, readRankFile } from './formats/rank_file.js';
import { readSentencePiece } from './formats/sentencepiece.js';
import { addedToken, specialToken, type AddedToken } from './pipeline/added_tokens.js';
import { pipelineSchema, type PipelineParts } from './pipeline/pipeline.js';
import { SPECIAL_TOKENS, type TokenizerConfig } from './tokenizer_config.js';

/** A vocabulary and all that is done with it. */
export interface Vocabulary {
  /** Path of the file. */
  readonly file: string;
  readonly tokenizer: PipelineParts;
  /** Names of special tokens that the file itself has; those of tokenizer_config.json come before them. */
  readonly names: TokenizerConfig;
}

/** Files of other formats than tokenizer.json, the likeliest first. What they hold is told by their first bytes. */
const OTHER_FILES = ['tiktoken.model', 'qwen.tiktoken', 'tokenizer.model', 'spiece.model', 'sentencepiece.bpe.model'];

/**
 * Reads tokenizer.json, or else a rank file of tiktoken or a model of SentencePiece.
 * Why: docs/decisions/tokenizers.md#other-formats-are-read-as-their-own-libraries-do
 *
 * @returns undefined when the folder has none of them
 * @throws TokenizerError INVALID_TOKENIZER, READ_FAILED
 */
export async function readVocabulary(dir: string, config: TokenizerConfig): Promise<Vocabulary | undefined> {
  const file = join(dir, 'tokenizer.json');
  const json = await readTextIfPresent(file);
  if (json !== undefined) {
    return { file, tokenizer: withTokensOf(config, parse(pipelineSchema, json, file)), names: {} };
  }
  for (const name of OTHER_FILES) {
    const other = join(dir, name);
    const bytes = await readBytesIfPresent(other);
    if (bytes !== undefined) return isRankFile(bytes) ? ofRanks(other, bytes, config) : ofPieces(other, bytes, config);
  }
  return undefined;
}

function ofRanks(file: string, bytes: Uint8Array, config: TokenizerConfig): Vocabulary {
  const { tokenizer_class: name } = config;
  const kind = rankFileKindOf(name);
  if (kind === undefined) {
    throw new TokenizerError(
      'INVALID_TOKENIZER',
      `${file} is a rank file of tiktoken, and what cuts words for it stands in the code of ${printable(name!)}, which isn't known here ` +
        `(${RANK_FILE_CLASSES.join(' and ')} are); ${HOW_TO_CONVERT}`,
      { file },
    );
  }
  const taken = new Set(tokensOf(config).map(({ id }) => id));
  const tokenizer = orInvalid(file, 'no rank file of tiktoken', () => readRankFile(bytes, kind, taken));
  return { file, tokenizer: withTokensOf(config, tokenizer), names: {} };
}

function ofPieces(file: string, bytes: Uint8Array, config: TokenizerConfig): Vocabulary {
  const isLegacy = config.legacy ?? false;
  const { parts, bosToken, eosToken } = orInvalid(file, 'no model of SentencePiece that is supported', () =>
    readSentencePiece(bytes, { isLegacy }),
  );
  return { file, tokenizer: withTokensOf(config, parts), names: { bos_token: bosToken, eos_token: eosToken } };
}

const HOW_TO_CONVERT =
  'with Python, AutoTokenizer.from_pretrained(FOLDER, trust_remote_code=True).save_pretrained(FOLDER) of transformers may write a tokenizer.json; without the file token ids work';

function orInvalid<T>(file: string, what: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof SyntaxError || cause instanceof RangeError)) throw cause;
    throw new TokenizerError('INVALID_TOKENIZER', `${file} is ${what} (${causeText(cause)}); ${HOW_TO_CONVERT}`, {
      file,
      cause,
    });
  }
}

/** Tokens that tokenizer_config.json describes. */
const tokensOf = ({ added_tokens_decoder: tokens }: TokenizerConfig): AddedToken[] =>
  Object.entries(tokens ?? {}).map(([id, token]) => addedToken(Number(id), token));

/** As in transformers: what tokenizer_config.json says of a token counts, and tokens that it names are looked for in texts. */
function withTokensOf(config: TokenizerConfig, parts: PipelineParts): PipelineParts {
  const added = new Map(parts.added_tokens.map((token) => [token.content, token]));
  for (const token of tokensOf(config)) {
    added.set(token.content, { ...token, id: added.get(token.content)?.id ?? token.id });
  }
  for (const name of SPECIAL_TOKENS) {
    const content = config[name];
    const id = content == null ? undefined : parts.model.vocab.get(content);
    if (id !== undefined && !added.has(content!)) added.set(content!, specialToken(id, content!));
  }
  return { ...parts, added_tokens: [...added.values()] };
}
