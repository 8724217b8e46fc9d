/** What a request came to, and whether it is what it would have been. */
import type { GenerationRequest, TokenEvent, TokenSource } from '../../../lib/protocol/request.js';

/** Of one request. */
export interface Answer {
  readonly tokenIds: readonly number[];
  /** How likely each token was: the same bits, or something was computed otherwise. */
  readonly logprobs: readonly number[];
  /** When each came, of `performance.now()`. */
  readonly timesMs: readonly number[];
  readonly numDegradedTokens: number;
  /** Why it ended before its time; null: it didn't. */
  readonly error: string | null;
}

/** Asks, and keeps what comes. Where the request fails, what came until then. Told of each token, if `onToken` is given. */
export async function answerOf(
  source: TokenSource,
  request: GenerationRequest,
  signal: AbortSignal,
  onToken: () => void = () => undefined,
): Promise<Answer> {
  const events: TokenEvent[] = [];
  const timesMs: number[] = [];
  let error: string | null = null;
  try {
    for await (const event of source.generate(request, signal)) {
      events.push(event);
      if (event.kind !== 'token') continue;
      timesMs.push(performance.now());
      onToken();
    }
  } catch (thrown) {
    signal.throwIfAborted();
    error = thrown instanceof Error ? thrown.message : String(thrown);
  }
  const tokens = events.filter((event) => event.kind === 'token');
  const last = events.at(-1);
  return {
    tokenIds: tokens.map(({ tokenId }) => tokenId),
    logprobs: tokens.map(({ logprobs }) => logprobs?.logprob ?? NaN),
    timesMs,
    numDegradedTokens: last?.kind === 'finished' ? last.numDegradedTokens : 0,
    error: error ?? (last?.kind === 'finished' ? null : 'the answer ended without a word'),
  };
}

/** Whether it has the same tokens. */
export const isSame = (one: Answer, other: Answer): boolean =>
  one.error === null &&
  one.tokenIds.length === other.tokenIds.length &&
  one.tokenIds.every((id, i) => id === other.tokenIds[i]);

/** Whether each token was as likely, to the bit. */
export const isBitEqual = (one: Answer, other: Answer): boolean =>
  isSame(one, other) && one.logprobs.every((logprob, i) => Object.is(logprob, other.logprobs[i]));
