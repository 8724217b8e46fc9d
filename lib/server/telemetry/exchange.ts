/** One HTTP request, and what the engine computed for it. */
import type { RequestTrack, TrackEnd } from './request_track.js';

/** What is known of an HTTP request when it arrives. */
export interface Arrival {
  /** In the answer's X-Request-Id, and the engine's name for it. */
  readonly id: string;
  readonly method: string;
  /** As the server names it, without what a client put into it. */
  readonly route: string;
  /** W3C trace context, as the client sent it. */
  readonly traceparent: string | undefined;
  readonly tracestate: string | undefined;
}

/** A sequence that the engine computed for a request. */
export interface EndedTrack {
  readonly track: RequestTrack;
  readonly end: TrackEnd;
}

/** A request that is being answered. */
export interface Exchange extends Arrival {
  readonly startMs: number;
  /** In the order in which they ended. */
  readonly tracks: readonly EndedTrack[];
}

/** How an answer ended. */
export interface Answer {
  readonly status: number;
  /** The client went before it had all of it. */
  readonly isCutOff: boolean;
  readonly endMs: number;
}

/** Told of HTTP requests. */
export interface ExchangeListener {
  arrived?(exchange: Exchange): void;
  /** The engine was given a sequence for it. */
  joined?(exchange: Exchange, track: RequestTrack): void;
  /** It is answered, and the engine is done with it. */
  answered?(exchange: Exchange, answer: Answer): void;
}
