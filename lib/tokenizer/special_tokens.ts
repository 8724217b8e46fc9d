/**
 * Whether a text gets a token for its beginning and one for its end. Pure.
 * Why: docs/decisions/requests.md#chat-templates-decide-all-special-tokens-of-a-chat
 */
import type { TokenizerFiles } from './tokenizer_files.js';

/**
 * Classes of transformers 4 that put these tokens around a text whatever tokenizer.json says, a beginning unless told otherwise. transformers 5 ignores the flags of
 * such files, and with them what DeepSeek's checkpoints were trained with.
 */
const FLAGGED_CLASSES = /^(Llama|CodeLlama|Gemma|Cohere)Tokenizer(Fast)?$/;

/**
 * What tokenizer_config.json adds. Nothing where tokenizer.json has a template, which says it itself; else what `add_bos_token` and `add_eos_token` say, where the
 * tokenizer's class looks at them or no class is named.
 */
export function specialsAround(
  hasTemplate: boolean,
  { tokenizer_class: name, add_bos_token: addBos, add_eos_token: addEos }: TokenizerFiles['config'],
): { readonly begins: boolean; readonly ends: boolean } {
  const isFlagged = name == null || FLAGGED_CLASSES.test(name);
  if (hasTemplate || !isFlagged) return { begins: false, ends: false };
  return { begins: addBos ?? name != null, ends: addEos ?? false };
}
