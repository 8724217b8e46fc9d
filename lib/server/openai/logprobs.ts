/** Log-probabilities in the three forms in which OpenAI and vLLM tell them. Pure. */
import type { TokenLogprobs } from '../../protocol/request.js';
import { finite, type TokenNames } from './token_names.js';

/** A token and how likely it was; null: the first of a prompt. */
export interface RatedToken {
  readonly tokenId: number;
  readonly logprobs: TokenLogprobs | null;
}

/** Of completions: lists side by side. */
export interface CompletionLogprobs {
  readonly text_offset: number[];
  readonly token_logprobs: (number | null)[];
  readonly tokens: string[];
  readonly top_logprobs: (Readonly<Record<string, number>> | null)[];
}

/** `offset`: characters before the first token. Returns where the next one begins, too. */
export function completionLogprobs(
  rated: readonly RatedToken[],
  names: TokenNames,
  offset: number,
): { readonly logprobs: CompletionLogprobs; readonly nextOffset: number } {
  const logprobs: CompletionLogprobs = { text_offset: [], token_logprobs: [], tokens: [], top_logprobs: [] };
  let nextOffset = offset;
  for (const token of rated) {
    const name = names.of(token.tokenId);
    logprobs.text_offset.push(nextOffset);
    logprobs.tokens.push(name);
    logprobs.token_logprobs.push(token.logprobs && finite(token.logprobs.logprob));
    logprobs.top_logprobs.push(token.logprobs && topByName(token.tokenId, token.logprobs, names));
    nextOffset += name.length;
  }
  return { logprobs, nextOffset };
}

/** The chosen token is always among them. Of several tokens with one text the likeliest is told. */
function topByName(tokenId: number, { logprob, top }: TokenLogprobs, names: TokenNames): Record<string, number> {
  const byName = new Map<string, number>();
  for (const each of [...top, { tokenId, logprob }]) {
    const name = names.of(each.tokenId);
    if (!byName.has(name)) byName.set(name, finite(each.logprob));
  }
  return Object.fromEntries(byName);
}

/** Of a token in a chat or response. */
export interface ChatTokenLogprob {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[] | null;
}

/** With the likeliest tokens in its place. */
export interface ChatLogprob extends ChatTokenLogprob {
  readonly top_logprobs: readonly ChatTokenLogprob[];
}

/** Of chats: a list of tokens. */
export const chatLogprobs = (rated: readonly RatedToken[], names: TokenNames): readonly ChatLogprob[] =>
  rated.flatMap(({ tokenId, logprobs }) => {
    if (logprobs === null) return [];
    const told = (id: number, logprob: number): ChatTokenLogprob => ({
      token: names.of(id),
      logprob: finite(logprob),
      bytes: names.bytesOf(id),
    });
    const top = logprobs.top.map((each) => told(each.tokenId, each.logprob));
    return [{ ...told(tokenId, logprobs.logprob), top_logprobs: top }];
  });

/** vLLM's `prompt_logprobs`: for each token of a prompt the likeliest and itself, by id; null for the first. */
export function promptLogprobs(rated: readonly RatedToken[], names: TokenNames): (object | null)[] {
  return rated.map(({ tokenId, logprobs }) => {
    if (logprobs === null) return null;
    const told = (id: number, logprob: number, rank: number) => [
      String(id),
      { logprob: finite(logprob), rank, decoded_token: names.of(id) },
    ];
    const top = logprobs.top.map((each, i) => told(each.tokenId, each.logprob, i + 1));
    return Object.fromEntries([...top, told(tokenId, logprobs.logprob, logprobs.rank)]) as object;
  });
}
