/** What becomes of a request, as its client saw it. */

/** How a request failed. */
export type FailureKind =
  | 'connection' // none, or it broke before an answer began
  | 'http' // another status than 200
  | 'error event' // an error in the middle of the stream
  | 'cut' // the stream ended before its end mark
  | 'timeout'
  | 'malformed' // no event stream, no JSON, or more than a client holds
  | 'empty' // a whole stream without any token
  | 'cancelled'; // by whoever runs the load

/** Why a request failed, for people. */
export interface Failure {
  readonly kind: FailureKind;
  /** What the server or the system said: '429 the queue is full'. */
  readonly reason: string;
}

/** Tokens as the server counts them. */
export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** Of the prompt, from the prefix cache; null where the server doesn't say. */
  readonly cachedTokens: number | null;
}

/** A whole answer. */
export interface Answered {
  /** When each chunk with tokens arrived, by performance.now(); at least one. */
  readonly chunkMs: readonly number[];
  /** Null where the server sent none. */
  readonly usage: Usage | null;
  /** Empty unless it was to be kept. */
  readonly text: string;
  /** Null where the server told none. */
  readonly tokenIds: readonly number[] | null;
}

/** A request and what came of it; times by performance.now(). */
export type Exchange = { readonly startMs: number; readonly endMs: number } & (
  { readonly answer: Answered; readonly failure: null } | { readonly answer: null; readonly failure: Failure }
);
