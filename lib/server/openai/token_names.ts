/** Tokens as answers show them: a text, and the bytes that it stands for. */
import type { Tokenizer } from '../../tokenizer/tokenizer.js';

/** How likely a token is at least, as answers say it: JSON has no −∞. vLLM's number. */
const LEAST_LOGPROB = -9999;

/** Names of the tokens of a model. */
export class TokenNames {
  private readonly names = new Map<number, string>();

  /** `asIds`: `token_id:5` for all, as vLLM's `return_tokens_as_token_ids` asks for; also where there is no tokenizer. */
  constructor(
    private readonly tokenizer: Pick<Tokenizer, 'decode' | 'bytesOf'> | undefined,
    private readonly asIds: boolean,
  ) {}

  /** The token's text; of one that is no whole character, its bytes as OpenAI spells them: `bytes:\xe2\x82`. */
  of(tokenId: number): string {
    let name = this.names.get(tokenId);
    if (name === undefined) {
      name = this.make(tokenId);
      this.names.set(tokenId, name);
    }
    return name;
  }

  /** The bytes that a token stands for; null where nobody knows. */
  bytesOf(tokenId: number): number[] | null {
    const bytes = this.tokenizer?.bytesOf(tokenId);
    return bytes === undefined ? null : [...bytes];
  }

  private make(tokenId: number): string {
    if (this.asIds || this.tokenizer === undefined) return `token_id:${tokenId}`;
    const text = this.tokenizer.decode([tokenId], { skipSpecialTokens: false });
    const bytes = text.includes('\ufffd') ? this.tokenizer.bytesOf(tokenId) : undefined;
    if (bytes === undefined) return text;
    return `bytes:${[...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`;
  }
}

/** A log-probability as JSON can say it. */
export const finite = (logprob: number): number => Math.max(logprob, LEAST_LOGPROB);
