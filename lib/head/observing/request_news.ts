/** What becomes of requests, for whoever follows them. */
import type { FinishReason } from '../../protocol/request.js';

/** How a sequence ends well: `scored` where no token was to be generated, `moved` where another instance goes on with it. */
export type SequenceEnd = FinishReason | 'scored' | 'moved';

/** What happened to a request, told in the order in which it happens; `sequence` is the request's number. */
export type RequestNews =
  | {
      readonly kind: 'queued';
      readonly sequence: number;
      /** As its caller named it; null: not at all. */
      readonly id: string | null;
      readonly numPromptTokens: number;
      readonly maxNewTokens: number;
    }
  | {
      /** It runs, on this rank; once more after it gave way or its rank was lost. */
      readonly kind: 'admitted';
      readonly sequence: number;
      readonly rank: number;
      /** Tokens of the prompt that are in the prefix cache there. */
      readonly numCachedTokens: number;
    }
  /** Blocks ran out: it waits, and is computed anew. */
  | { readonly kind: 'preempted'; readonly sequence: number; readonly rank: number }
  /** It goes on on another rank, with the keys and values of so many of its tokens. */
  | {
      readonly kind: 'moved';
      readonly sequence: number;
      readonly from: number;
      readonly rank: number;
      readonly numTokens: number;
    }
  /** It goes on on a rank here, with the keys and values of so many of its tokens, which came from another instance. */
  | { readonly kind: 'arrived'; readonly sequence: number; readonly rank: number; readonly numTokens: number }
  /** It has one more token. */
  | { readonly kind: 'token'; readonly sequence: number; readonly tokenId: number }
  | { readonly kind: 'finished'; readonly sequence: number; readonly reason: SequenceEnd }
  /** It failed, or its caller gave it up: null. */
  | { readonly kind: 'ended'; readonly sequence: number; readonly error: Error | null };
