/** What became of one request, and when. */
import type { SequenceEnd } from '../../head/observing/request_news.js';

/** How a request ends: as vLLM names it. `moved`: another instance goes on with it; `abort`: its caller gave it up, or the server ended; `error`: it failed. */
export const TRACK_ENDS = ['stop', 'length', 'moved', 'abort', 'error'] as const;
/** One of {@link TRACK_ENDS}. */
export type TrackEnd = (typeof TRACK_ENDS)[number];

/** Times are milliseconds of one clock; null: it didn't come to that (yet). */
export interface RequestTrack {
  readonly sequence: number;
  /** As its caller named it: an HTTP request's id, with the number of the choice where there are several. Null: not at all. */
  readonly id: string | null;
  readonly numPromptTokens: number;
  readonly maxNewTokens: number;
  readonly queuedMs: number;
  /** When it was admitted first. */
  readonly admittedMs: number | null;
  readonly firstTokenMs: number | null;
  readonly lastTokenMs: number | null;
  readonly endedMs: number | null;
  /** Where it runs, or ran last. */
  readonly rank: number | null;
  /** Of the prompt, in the prefix cache when it was admitted first. */
  readonly numCachedTokens: number;
  readonly numOutputTokens: number;
  readonly numPreempted: number;
}

/** Told of requests, in the order in which things happen to them. The track changes afterwards. */
export interface TrackListener {
  queued?(track: RequestTrack): void;
  /** It runs; once more after it gave way or its rank was lost. */
  admitted?(track: RequestTrack): void;
  preempted?(track: RequestTrack): void;
  /** It has one more token: `gapMs` after the one before, null with the first. */
  token?(track: RequestTrack, gapMs: number | null): void;
  /** It is over; `error` says why it failed. */
  ended?(track: RequestTrack, end: TrackEnd, error: Error | null): void;
}

/** A text that was scored is as long as was asked for. */
export const endOf = (reason: SequenceEnd): TrackEnd => (reason === 'scored' ? 'length' : reason);

/** Seconds from one moment to another; null where one of them never came. */
export const secondsBetween = (fromMs: number | null, toMs: number | null): number | null =>
  fromMs === null || toMs === null ? null : Math.max(0, toMs - fromMs) / 1000;
