/** A tokenizer for checkpoints with random weights: byte-level BPE over any text, of as many tokens as the model has. */
import { CHARACTER_OF_BYTE } from '../tokenizer/steps/byte_level.js';
import type { JsonObject } from '../weights/model_files.js';

/** The tokenizer's files of a model folder, by name. */
export type TokenizerFolder = Readonly<Record<'tokenizer.json' | 'tokenizer_config.json', JsonObject>>;

/** What begins and ends a message of a conversation; the last ids of the vocabulary. */
const SPECIALS = ['<|im_start|>', '<|im_end|>'] as const;
/** A smaller vocabulary has no room for it. */
export const MIN_BYTE_VOCAB = 256 + SPECIALS.length;
/** Ids behind have no token, as in models whose vocabulary is padded: files of millions of tokens would take longer than the model. */
const MAX_MERGES = 2 ** 18;

/** English letters, the frequent ones first: of two merges, the first of the list is done first. */
const LETTERS = Array.from('etaoinshrdlcumwfgypbvkjxqz');

/** ChatML, as Jinja. */
const CHAT_TEMPLATE = [
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}",
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
].join('');

/**
 * Ids 0 … 255 are the bytes, the last ones begin and end messages, and those between are runs of letters, shorter ones first. There is no token that ends a text: a random
 * model has nothing to end. Null: the vocabulary has no room for it.
 */
export function byteTokenizer(vocabSize: number): TokenizerFolder | null {
  if (vocabSize < MIN_BYTE_VOCAB) return null;
  const vocab: Record<string, number> = {};
  for (const [byte, character] of CHARACTER_OF_BYTE.entries()) vocab[character] = byte;
  const merges = mergesOf(CHARACTER_OF_BYTE[SPACE]!, Math.min(MAX_MERGES, vocabSize - MIN_BYTE_VOCAB));
  for (const [i, merge] of merges.entries()) vocab[merge.join('')] = 256 + i;
  const added = SPECIALS.map((content, i) => ({
    ...{ id: vocabSize - SPECIALS.length + i, content, single_word: false, lstrip: false, rstrip: false },
    ...{ normalized: false, special: true },
  }));
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    'tokenizer.json': {
      ...{ version: '1.0', truncation: null, padding: null, added_tokens: added },
      ...{ normalizer: null, pre_tokenizer: byteLevel, post_processor: null, decoder: byteLevel },
      model: { ...BPE, vocab, merges: merges.map((merge) => merge.join(' ')) },
    },
    'tokenizer_config.json': {
      ...{ tokenizer_class: 'PreTrainedTokenizerFast', clean_up_tokenization_spaces: false },
      ...{ add_bos_token: false, bos_token: null, eos_token: null, chat_template: CHAT_TEMPLATE },
    },
  };
}

const SPACE = 0x20;
const BPE = {
  ...{ type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null },
  ...{ fuse_unk: false, byte_fallback: false, ignore_merges: false },
};

/** Runs of letters, perhaps behind a space: each is one that came before, and a letter. */
function mergesOf(space: string, count: number): (readonly [string, string])[] {
  const merges: (readonly [string, string])[] = [];
  const tokens = [space, ...LETTERS];
  for (let i = 0; merges.length < count; i++) {
    for (const letter of LETTERS.slice(0, count - merges.length)) {
      merges.push([tokens[i]!, letter]);
      tokens.push(tokens[i]! + letter);
    }
  }
  return merges;
}
