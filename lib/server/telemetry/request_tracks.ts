/** Follows all requests of an engine: who tells metrics, logs and traces what became of them. */
import { EngineError } from '../../protocol/errors.js';
import type { RequestNews } from '../../head/observing/request_news.js';
import type { EngineObserver } from '../../head/watchers.js';
import { endOf, type RequestTrack, type TrackEnd, type TrackListener } from './request_track.js';
import type { Clock } from './telemetry_source.js';

type Track = { -readonly [Key in keyof RequestTrack]: RequestTrack[Key] };

/** One record per request that waits or runs; a step's tokens all get the time at which it ended, so that the clock is read once. */
export class RequestTracks implements EngineObserver {
  private readonly tracks = new Map<number, Track>();
  private stepMs: number | null = null;

  constructor(
    private readonly listeners: readonly TrackListener[],
    private readonly clock: Clock,
  ) {}

  /** Requests that wait or run. */
  get size(): number {
    return this.tracks.size;
  }

  /** A request that waits or runs; undefined: none with this number. */
  get(sequence: number): RequestTrack | undefined {
    return this.tracks.get(sequence);
  }

  /** A step ended: its tokens come now. */
  step(): void {
    this.stepMs = this.clock();
  }

  /** Takes note of what happened to a request. */
  request(news: RequestNews): void {
    if (news.kind === 'queued') return this.queued(news);
    const track = this.tracks.get(news.sequence);
    if (track === undefined) return; // queued before anybody watched
    switch (news.kind) {
      case 'admitted':
        return this.admitted(track, news);
      case 'preempted':
        track.numPreempted++;
        for (const listener of this.listeners) listener.preempted?.(track);
        return;
      case 'moved':
      case 'arrived':
        track.rank = news.rank;
        return;
      case 'token':
        return this.token(track);
      case 'finished':
        return this.ended(track, endOf(news.reason), null);
      case 'ended':
        return this.ended(track, isGivenUp(news.error) ? 'abort' : 'error', news.error);
    }
  }

  private queued({ sequence, id, numPromptTokens, maxNewTokens }: Extract<RequestNews, { kind: 'queued' }>): void {
    const track: Track = {
      ...{ sequence, id, numPromptTokens, maxNewTokens, queuedMs: this.clock() },
      ...{ admittedMs: null, firstTokenMs: null, lastTokenMs: null, endedMs: null, rank: null },
      ...{ numCachedTokens: 0, numOutputTokens: 0, numPreempted: 0 },
    };
    this.tracks.set(sequence, track);
    for (const listener of this.listeners) listener.queued?.(track);
  }

  private admitted(track: Track, { rank, numCachedTokens }: Extract<RequestNews, { kind: 'admitted' }>): void {
    track.rank = rank;
    if (track.admittedMs === null) {
      track.admittedMs = this.clock();
      track.numCachedTokens = numCachedTokens;
    }
    for (const listener of this.listeners) listener.admitted?.(track);
  }

  private token(track: Track): void {
    const nowMs = this.stepMs ?? this.clock();
    const gapMs = track.lastTokenMs === null ? null : nowMs - track.lastTokenMs;
    track.firstTokenMs ??= nowMs;
    track.lastTokenMs = nowMs;
    track.numOutputTokens++;
    for (const listener of this.listeners) listener.token?.(track, gapMs);
  }

  private ended(track: Track, end: TrackEnd, error: Error | null): void {
    track.endedMs = this.clock();
    this.tracks.delete(track.sequence);
    for (const listener of this.listeners) listener.ended?.(track, end, error);
  }
}

const isGivenUp = (error: Error | null): boolean =>
  error === null || (error instanceof EngineError && error.code === 'CLOSED');
