/** Spans of everything that the server does for a client: HTTP request → sequences → stages → steps. */
import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Context,
  type Span,
  type Tracer,
} from '@opentelemetry/api';
import type { ObservedStep } from '../../head/observing/step_observer.js';
import type { Answer, Exchange } from '../telemetry/exchange.js';
import type { RequestTrack, TrackEnd } from '../telemetry/request_track.js';
import type { Follower } from '../telemetry/telemetry.js';
import type { Clock } from '../telemetry/telemetry_source.js';
import { SequenceSpans } from './sequence_spans.js';
import { contextOf } from './trace_context.js';

/** Who makes spans, for whom. */
export interface SpansOptions {
  readonly tracer: Tracer;
  readonly modelName: string;
  /** `performance.now`, or what goes as it does. */
  readonly clock: Clock;
  /** Sends what is left. */
  readonly close: () => Promise<void>;
}

/** Makes spans; those of requests that the sampler doesn't want cost next to nothing. */
export class Spans implements Follower {
  private readonly requests = new Map<Exchange, { readonly span: Span; readonly context: Context }>();
  /** Of sequences that are about to be told of. */
  private readonly parents = new Map<number, Context>();
  /** Those that are recorded. */
  private readonly sequences = new Map<number, SequenceSpans>();

  constructor(private readonly options: SpansOptions) {}

  /** An HTTP request. */
  arrived(exchange: Exchange): void {
    const { id, method, route, startMs } = exchange;
    const attributes = { 'http.request.method': method, 'http.route': route, 'expertwire.request_id': id };
    const parent = contextOf(exchange);
    const settings = { kind: SpanKind.SERVER, startTime: startMs, attributes };
    const span = this.options.tracer.startSpan(`${method} ${route}`, settings, parent);
    this.requests.set(exchange, { span, context: trace.setSpan(parent, span) });
  }

  /** The next sequence is its own. */
  joined(exchange: Exchange, { sequence }: RequestTrack): void {
    const request = this.requests.get(exchange);
    if (request !== undefined) this.parents.set(sequence, request.context);
  }

  /** It is answered. */
  answered(exchange: Exchange, { status, isCutOff, endMs }: Answer): void {
    const span = this.requests.get(exchange)?.span;
    if (span === undefined) return; // told already; what throws here would end the engine
    this.requests.delete(exchange);
    span.setAttribute('http.response.status_code', status);
    if (isCutOff) span.setAttribute('expertwire.is_cut_off', true);
    if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
    // A sequence that its client left is over a little later.
    span.end(Math.max(endMs, ...exchange.tracks.map(({ track }) => track.endedMs!)));
  }

  /** A sequence, of an HTTP request or of somebody who uses the engine beside the server. */
  queued(track: RequestTrack): void {
    const { tracer, modelName } = this.options;
    const parent = this.parents.get(track.sequence) ?? ROOT_CONTEXT;
    this.parents.delete(track.sequence);
    const spans = new SequenceSpans(tracer, parent, track, modelName);
    if (spans.isRecording) this.sequences.set(track.sequence, spans);
  }

  /** It runs. */
  admitted({ sequence }: RequestTrack): void {
    this.sequences.get(sequence)?.admitted(this.options.clock());
  }

  /** It gave way. */
  preempted({ sequence }: RequestTrack): void {
    this.sequences.get(sequence)?.preempted(this.options.clock());
  }

  /** It has one more token. */
  token({ sequence, lastTokenMs }: RequestTrack): void {
    this.sequences.get(sequence)?.token(lastTokenMs!);
  }

  /** It is over. */
  ended({ sequence }: RequestTrack, end: TrackEnd, error: Error | null): void {
    this.sequences.get(sequence)?.ended(end, error);
    this.sequences.delete(sequence);
  }

  /** A step computed tokens of some of them. */
  step({ step, plans, results, numTokens: numBatchedTokens, stepMs }: ObservedStep): void {
    if (this.sequences.size === 0) return;
    const endMs = this.options.clock();
    const startMs = endMs - stepMs;
    const parts = plans.flatMap(({ parts: own }, rank) => own.map((part) => ({ part, result: results[rank] })));
    for (const { part, result } of parts) {
      const { phasesMs } = result ?? {};
      if (phasesMs === undefined) continue;
      const numTokens = part.tokenIds.length;
      this.sequences.get(part.sequence)?.step({ step, startMs, endMs, numTokens, numBatchedTokens, phasesMs });
    }
  }

  /** Sends what is left. */
  close(): Promise<void> {
    return this.options.close();
  }
}
