/** Rank files of tiktoken: a token's bytes and its id on each line. What cuts texts into words stands in code that comes with them, and here. */
import { specialToken, type AddedToken } from '../pipeline/added_tokens.js';
import { Bpe } from '../models/bpe.js';
import { SpelledMerges } from '../models/merges.js';
import type { PipelineParts } from '../pipeline/pipeline.js';
import { CHARACTER_OF_BYTE, spelledText } from '../steps/byte_level.js';
import { decoderSchema } from '../steps/decoders.js';
import { normalizerSchema } from '../steps/normalizers.js';
import { preTokenizerSchema } from '../steps/pre_tokenizers.js';

/** What the code beside a rank file does. */
interface RankFileKind {
  /** Cuts texts into words. */
  readonly pattern: string;
  /** Ids behind the ranks that have a name in any case. Default: 0. */
  readonly numReserved?: number;
  /** The special tokens behind the ranks. Default: those of tokenizer_config.json. */
  readonly specials?: readonly string[];
  readonly isNfc?: boolean;
}

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const OTHERS = [String.raw` ?[^\s\p{L}\p{N}]+[\r\n]*`, String.raw`\s*[\r\n]+`, String.raw`\s+(?!\S)`, String.raw`\s+`];
const WORDS = [CONTRACTIONS, String.raw`[^\r\n\p{L}\p{N}]?\p{L}+`];
/** GPT-4's, Llama 3's, and what transformers takes where nothing else is said. */
const GPT4 = [...WORDS, String.raw`\p{N}{1,3}`, ...OTHERS].join('|');
const UPPER = String.raw`[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]`;
const LOWER = String.raw`[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]`;
const LED = String.raw`[^\r\n\p{L}\p{N}]?`;

/** By `tokenizer_class` of tokenizer_config.json. */
const KINDS: Readonly<Record<string, RankFileKind>> = {
  // Kimi-K2, Kimi-Linear, Moonlight: tokenization_kimi.py, tokenization_moonshot.py
  TikTokenTokenizer: {
    pattern: [
      String.raw`[\p{Han}]+`,
      `${LED}${UPPER}*${LOWER}+${CONTRACTIONS}?`,
      `${LED}${UPPER}+${LOWER}*${CONTRACTIONS}?`,
      String.raw`\p{N}{1,3}`,
      ...OTHERS,
    ].join('|'),
    numReserved: 256,
  },
  // Qwen 1: tokenization_qwen.py
  QWenTokenizer: {
    pattern: [...WORDS, String.raw`\p{N}`, ...OTHERS].join('|'),
    specials: [
      ...['<|endoftext|>', '<|im_start|>', '<|im_end|>'],
      ...Array.from({ length: 205 }, (_, i) => `<|extra_${i}|>`),
    ],
    isNfc: true,
  },
};

/** Classes whose code is transformers' own. */
const GENERAL_CLASSES = /^(PreTrainedTokenizer|TokenizersBackend|Llama|GPT2|ChatGLM4)/;

/** What cuts the texts of a class into words; undefined: its code isn't known here. */
export function rankFileKindOf(tokenizerClass: string | null | undefined): RankFileKind | undefined {
  if (tokenizerClass == null || GENERAL_CLASSES.test(tokenizerClass)) return { pattern: GPT4 };
  return Object.hasOwn(KINDS, tokenizerClass) ? KINDS[tokenizerClass] : undefined;
}

/** Classes that {@link rankFileKindOf} has besides those of transformers. */
export const RANK_FILE_CLASSES = Object.keys(KINDS);

const LINE = /^([A-Za-z0-9+/]+={0,2}) (\d{1,9})$/;

/** Whether a file is a rank file, by its first line. */
export function isRankFile(bytes: Uint8Array): boolean {
  const end = bytes.indexOf(0x0a);
  return LINE.test(
    Buffer.from(bytes.subarray(0, Math.min(end < 0 ? bytes.length : end, 4096)))
      .toString('latin1')
      .trimEnd(),
  );
}

/**
 * The tokenizer of a rank file.
 *
 * @param taken ids whose tokens tokenizer_config.json describes
 * @throws SyntaxError where a line is something else, or a byte has no token
 */
export function readRankFile(bytes: Uint8Array, kind: RankFileKind, taken: ReadonlySet<number>): PipelineParts {
  const vocab = ranksOf(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1'));
  const merges = new SpelledMerges(
    vocab,
    [...vocab.values()].sort((a, b) => a - b),
  );
  return {
    added_tokens: addedTokensOf(vocab.size, kind, taken),
    normalizer: kind.isNfc === true ? normalizerSchema.parse({ type: 'NFC' }) : null,
    pre_tokenizer: preTokenizerSchema.parse({
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: kind.pattern }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
      ],
    }),
    post_processor: null,
    decoder: decoderSchema.parse({ type: 'ByteLevel' }),
    model: new Bpe(vocab, merges, { ignoreMerges: true }),
  };
}

function ranksOf(text: string): ReadonlyMap<string, number> {
  const vocab = new Map<string, number>();
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line === '') continue;
    const found = LINE.exec(line);
    if (found === null) throw new SyntaxError(`line ${i + 1} is no token in Base64 with its rank`);
    vocab.set(spelledText(Buffer.from(found[1]!, 'base64')), Number(found[2]));
  }
  const lacking = CHARACTER_OF_BYTE.findIndex((character) => !vocab.has(character));
  if (lacking >= 0) throw new SyntaxError(`the byte ${lacking} has no token`);
  return vocab;
}

function addedTokensOf(numRanks: number, kind: RankFileKind, taken: ReadonlySet<number>): AddedToken[] {
  const { specials = [], numReserved = 0 } = kind;
  const reserved = Array.from({ length: numReserved }, (_, i) => `<|reserved_token_${numRanks + i}|>`);
  const others = [...specials, ...reserved].map((content, i) => specialToken(numRanks + i, content));
  return others.filter(({ id }) => !taken.has(id));
}
