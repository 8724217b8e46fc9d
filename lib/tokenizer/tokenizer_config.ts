/** tokenizer_config.json: what transformers adds to a tokenizer. */
import * as z from 'zod';
import { addedTokenFields } from './pipeline/added_tokens.js';

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

/** What is looked at of tokenizer_config.json. */
export const tokenizerConfigSchema = z.looseObject({
  ...(Object.fromEntries(SPECIAL_TOKENS.map((name) => [name, tokenName])) as Record<
    SpecialTokenName,
    typeof tokenName
  >),
  tokenizer_class: z.string().nullish(),
  add_bos_token: z.boolean().nullish(),
  add_eos_token: z.boolean().nullish(),
  /** Added tokens by id, which stand beside those of tokenizer.json and say more of theirs. */
  added_tokens_decoder: z.record(z.string().regex(/^\d{1,9}$/), z.looseObject(addedTokenFields)).nullish(),
  /** Of tokenizers that SentencePiece's library ran in transformers. */
  legacy: z.boolean().nullish(),
  chat_template: z.union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))]).nullish(),
});

/** tokenizer_config.json, of which any key may be absent. */
export type TokenizerConfig = Partial<z.infer<typeof tokenizerConfigSchema>>;
