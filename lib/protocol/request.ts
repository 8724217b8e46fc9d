/** What callers ask of the engine and what they get back. */
import type { Hook } from './hook.js';
import type { BlockHolder } from './kv_loan.js';
import type { KvSource } from './kv_source.js';
import type { SamplingParams } from './sampling.js';

/** Typed arrays that token ids may come in. */
export type TokenArray = Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array;

/** A prompt to continue. */
export interface GenerationRequest {
  /** At least one; text is tokenized by the caller. Whole-number typed arrays are taken too. */
  readonly promptTokenIds: readonly number[] | TokenArray;
  /** At least 1, or 0 with {@link promptLogprobs}; prompt and output together must fit the context. */
  readonly maxNewTokens: number;
  /**
   * Tokens of its output that came of it earlier, of another engine for instance, and whose seed `sampling` has: it goes on behind them with the tokens that it
   * would have had, and tells nothing of them again. Such a request never finds the queue full. Default: it begins.
   */
  readonly outputTokenIds?: readonly number[];
  /**
   * Another instance has it, or had it: it goes on here behind all that came of it there, beginning with `outputTokenIds`, with the keys and values that are
   * there, or computed anew where those can't be had; its seed is the other one's. A `resumed` event comes first. Default: it begins here.
   */
  readonly source?: KvSource;
  /**
   * Other instances that may have computed its beginning, the likeliest first: what is nowhere here is read from the first that has more (`engine.kv_pool`). Whatever fails is
   * computed. Default none.
   */
  readonly holders?: readonly BlockHolder[];
  /** Tokens that came of it earlier are told once more. Default false. */
  readonly tellAgain?: boolean;
  /** Default greedy. An unset seed is drawn from `engine.seed` and reported. */
  readonly sampling?: Partial<SamplingParams>;
  /** Output ends before the first of these, of {@link MAX_STOP_CHARS} characters together; needs a tokenizer. */
  readonly stop?: readonly string[];
  /** Go on after the model's end-of-sequence token. Default false. */
  readonly ignoreEos?: boolean;
  /** Output ends with any of these too; at most 1024. */
  readonly stopTokenIds?: readonly number[];
  /** The stop string, stop token or end token that ended the output stays in its text. Default false. */
  readonly includeStop?: boolean;
  /** Leave special tokens out of the text. Default true. */
  readonly skipSpecialTokens?: boolean;
  /** With each token its log-probability, and those of this many of the most likely tokens in its place, 0 … {@link MAX_LOGPROBS}. Default: none. */
  readonly logprobs?: number;
  /** The same of each token of the prompt: a `prompt` event comes first. No token of the prompt is taken from the prefix cache then. Default: none. */
  readonly promptLogprobs?: number;
  /**
   * So long its keys and values stay in the prefix cache when it is over, up to `engine.kv_pin_max_ms`, so that the next turn of a conversation finds them whatever comes
   * between; no more of them than `engine.kv_pin_share` says. Each turn counts anew. Default 0: as long as there is room.
   */
  readonly pinMs?: number;
  /** Lower comes first where `engine.scheduling` is `priority`: a whole number of 32 bits. Default 0. */
  readonly priority?: number;
  /** Names the request in logs and traces; at most 256 characters. Default: none. */
  readonly id?: string;
  /** Report the experts of every token. Default false. */
  readonly returnRoutedExperts?: boolean;
  /** Report the router logits of every token, or of this share of them, over 0, up to 1: {@link MAX_ROUTER_LOGITS} at most. Default false. */
  readonly returnRouterLogits?: boolean | number;
  /** Look inside the model while it computes this request, beside those of the engine. Default none. */
  readonly hooks?: readonly Hook[];
  /**
   * Another instance may go on with it: Engine.offer, by its `id`, which it needs. Not where more is told of it than tokens and text: log-probabilities, experts,
   * router logits, hooks. Default false.
   */
  readonly movable?: boolean;
  /**
   * It is offered from the beginning on, and pauses once its first token is out; where that is its last one for its length, its blocks are held. It goes on, or they
   * are free, when the offer ends otherwise. For movable ones. Default: it is computed here.
   * Why: docs/decisions/handover.md#a-prompt-that-is-handed-over-pauses-by-itself
   */
  readonly handover?: 'after_prompt';
}

/** The longest that the keys and values of a request may be pinned: a day. */
export const MAX_PIN_MS = 24 * 60 * 60 * 1000;

/** The most tokens whose log-probabilities a request may have in a place. */
export const MAX_LOGPROBS = 20;

/** The most characters that the stop strings of a request may have together: each character of an answer is held against each of them. */
export const MAX_STOP_CHARS = 16_384;

/** The most router logits that a request may have told, of all its tokens: 32 MiB. */
export const MAX_ROUTER_LOGITS = 2 ** 23;

/** How likely the model found a token, before anything that sampling does: natural logarithms of the softmax of its logits. */
export interface TokenLogprobs {
  readonly logprob: number;
  /** 1 = the most likely one; of equally likely ones the lower token comes first. */
  readonly rank: number;
  /** The most likely tokens, most likely first, as many as were asked for. */
  readonly top: readonly { readonly tokenId: number; readonly logprob: number }[];
}

/** A token's, [MoE layers][E]; null: the share left it out. */
export type RouterLogits = readonly Float32Array[] | null;

/** Why a sequence ended. */
export type FinishReason =
  | 'stop' // an end-of-sequence token, a stop token or a stop string
  | 'length'; // maxNewTokens

/** What becomes of a request: a `token` event for each token, then one `finished` or `moved`. */
export type TokenEvent =
  | {
      /** First of all, where the request has a source: it goes on behind so many tokens of its output, as it would have there. */
      readonly kind: 'resumed';
      readonly text: '';
      readonly numTokens: number;
      readonly seed: number;
    }
  | {
      /** First of all, where `promptLogprobs` were asked for. */
      readonly kind: 'prompt';
      readonly text: '';
      /** Of each token of the prompt, given those before it; null of the first. */
      readonly logprobs: readonly (TokenLogprobs | null)[];
    }
  | {
      readonly kind: 'token';
      readonly tokenId: number;
      /** Null unless they were asked for. */
      readonly logprobs: TokenLogprobs | null;
      /** [n][MoE layers][K] logical experts of the tokens that were fed to the model since the last event; null unless they were asked for. */
      readonly routedExperts: number[][][] | null;
      /** Of the same tokens; absent unless they were asked for. */
      readonly routerLogits?: readonly RouterLogits[];
      /** Text that is certain now; '' while a character or a possible stop string is incomplete, or without a tokenizer. */
      readonly text: string;
    }
  | {
      readonly kind: 'finished';
      readonly reason: FinishReason;
      /** The stop string or stop token that ended it; null: another end. */
      readonly stoppedBy: string | number | null;
      /** Tokens of the prompt whose keys and values were in the prefix cache. */
      readonly numCachedTokens: number;
      /** The rest of the text. */
      readonly text: string;
      readonly seed: number;
      /** [tokens − 1][MoE layers][K] logical experts, of every token that was fed to the model. */
      readonly routedExperts: number[][][] | null;
      /** Of tokens that no event told of before; absent unless they were asked for. */
      readonly routerLogits?: readonly RouterLogits[];
      /** Tokens of prompt and output that were computed without one of their experts, because no rank that holds it is left. */
      readonly numDegradedTokens: number;
    }
  | {
      /** Another instance goes on with it, behind the tokens that events told of; text that wasn't certain comes from there. */
      readonly kind: 'moved';
      readonly text: '';
      readonly seed: number;
    };

/** What a server or a command line needs of an engine. */
export interface TokenSource {
  /** Events as they come; breaking off the loop ends the request. @throws EngineError CLOSED when the signal was aborted */
  generate(request: GenerationRequest, signal?: AbortSignal): AsyncIterable<TokenEvent>;
}

/** A text whose tokens get their probabilities. */
export interface ScoreRequest {
  /** At least two. */
  readonly tokenIds: readonly number[] | TokenArray;
  /** Called with [n·V] logits, float32, in order of position; all steps wait for it. What it throws ends this request alone. */
  readonly onLogits?: (logits: Float32Array) => void | Promise<void>;
  /** As those of {@link GenerationRequest}. */
  readonly hooks?: readonly Hook[];
}

/** What the model thinks of the text. */
export interface ScoreResult {
  /** Natural-log probability of each token given those before it; index 0 belongs to tokenIds[1]. */
  readonly logprobs: readonly number[];
  /** exp(−mean log-probability). */
  readonly perplexity: number;
  /** [tokens][MoE layers][K] logical experts. */
  readonly routedExperts: number[][][];
  /** Tokens that were computed without one of their experts. */
  readonly numDegradedTokens: number;
}
