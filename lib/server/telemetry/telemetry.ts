/** All that follows an engine and its HTTP requests: metrics, the log, traces. */
import type { Logger } from 'pino';
import type { ObservedStep } from '../../head/observing/step_observer.js';
import type { EngineObserver } from '../../head/watchers.js';
import type { Arrival, ExchangeListener } from './exchange.js';
import { Exchanges, type OpenExchange } from './exchanges.js';
import { Metrics, type MetricsOptions } from './metrics.js';
import { RequestLog } from './request_log.js';
import { RequestTracks } from './request_tracks.js';
import type { TrackListener } from './request_track.js';
import type { Clock, TelemetrySource } from './telemetry_source.js';

/** Somebody else who follows: traces, where they are wanted. */
export interface Follower extends TrackListener, ExchangeListener {
  /** A step that counts, before its tokens are told. */
  step(step: ObservedStep): void;
  /** Idempotent. */
  close(): Promise<void>;
}

/** Whom to follow, and who else does. */
export interface TelemetryOptions extends MetricsOptions {
  readonly log: Logger;
  readonly follower: Follower | null;
  /** Default: `performance.now`. */
  readonly clock?: Clock;
}

/** Follows an engine from now on, until it is closed. */
export class Telemetry {
  readonly metrics: Metrics;
  private readonly exchanges: Exchanges;
  private readonly stops: readonly (() => void)[];

  constructor(
    source: TelemetrySource,
    private readonly options: TelemetryOptions,
  ) {
    const { log, follower, clock = () => performance.now() } = options;
    const followers = follower === null ? [] : [follower];
    const requestLog = new RequestLog(log);
    this.metrics = new Metrics(source, options);
    this.exchanges = new Exchanges([...followers, requestLog], clock);
    const tracks = new RequestTracks([this.metrics.requests, this.exchanges, ...followers], clock);
    const observers: EngineObserver[] = [this.metrics, tracks, requestLog];
    if (follower !== null) observers.push({ step: (step) => follower.step(step) });
    this.stops = observers.map((observer) => source.watch(observer));
  }

  /** A request arrived. */
  arrived(arrival: Arrival): OpenExchange {
    return this.exchanges.arrived(arrival);
  }

  /** Follows no more, and sends what is left of traces. Idempotent. */
  async close(): Promise<void> {
    for (const stop of this.stops) stop();
    await this.options.follower?.close();
  }
}
