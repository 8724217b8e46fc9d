/** What a policy knows of a request, and what it says. */
import type { Candidate } from './instance_view.js';

/** What of a request is to be placed: all of it, its prompt, or what comes behind its prompt. */
export type RouteLeg = 'whole' | 'prefill' | 'decode';

/** A range of output lengths, tokens: `from` ≤ length < `to`, which is at most one more than the request's limit. */
export interface LengthBucket {
  readonly from: number;
  readonly to: number;
}

/** A request that is to go somewhere. */
export interface RoutedRequest {
  /** Counts up with the requests of a router; what chance decides depends on it alone. */
  readonly number: number;
  readonly leg: RouteLeg;
  readonly numPromptTokens: number;
  /** That it may generate at most. */
  readonly maxNewTokens: number;
  /** Lower comes first. */
  readonly priority: number;
  /** How long its output will be, as far as one can say. */
  readonly predicted: LengthBucket;
  /** Where the session's last request went; null: it has none, or none went yet. */
  readonly sessionInstance: string | null;
}

/** A request goes nowhere now: it would come too late. */
export interface Rejection {
  readonly kind: 'rejected';
  /** For the client, as in 'its first token would come after 3200 ms, and the limit is 2000 ms'. */
  readonly reason: string;
  readonly retryAfterMs: number;
}

/** Where a request goes, or why nowhere. */
export type Choice = { readonly kind: 'routed'; readonly instance: string } | Rejection;

/** Chooses one of the candidates, by ascending id and at least one, that may all take the request. Pure, and quick: each request waits for it. */
export type RoutingPolicy = (request: RoutedRequest, candidates: readonly Candidate[]) => Choice;

/** A request goes to this one. */
export const routedTo = ({ record }: Candidate): Choice => ({ kind: 'routed', instance: record.id });
