/** Who waits and who runs, and how long callers wait for tokens: from what becomes of requests. */
import type { RequestNews } from '../../head/observing/request_news.js';
import { Latencies } from './latencies.js';

interface Followed {
  readonly queuedMs: number;
  /** When its last token came; null: it has none. */
  lastTokenMs: number | null;
  isRunning: boolean;
}

/** Follows requests from the moment that they are queued; knows nothing of those that were queued earlier. */
export class RequestClock {
  /** First token − queued. */
  readonly ttft = new Latencies();
  /** From each token to the next one of its request. */
  readonly itl = new Latencies();
  private readonly requests = new Map<number, Followed>();
  private running = 0;

  get numRunning(): number {
    return this.running;
  }

  get numWaiting(): number {
    return this.requests.size - this.running;
  }

  /** Takes what happened at `nowMs`. */
  hear(news: RequestNews, nowMs: number): void {
    if (news.kind === 'queued') {
      this.requests.set(news.sequence, { queuedMs: nowMs, lastTokenMs: null, isRunning: false });
      return;
    }
    const followed = this.requests.get(news.sequence);
    if (followed === undefined) return;
    switch (news.kind) {
      case 'admitted':
        return this.run(followed, true);
      case 'preempted':
        return this.run(followed, false);
      case 'moved':
      case 'arrived':
        return;
      case 'token':
        if (followed.lastTokenMs === null) this.ttft.push(nowMs - followed.queuedMs, nowMs);
        else this.itl.push(nowMs - followed.lastTokenMs, nowMs);
        followed.lastTokenMs = nowMs;
        return;
      case 'finished':
      case 'ended':
        this.run(followed, false);
        this.requests.delete(news.sequence);
    }
  }

  private run(followed: Followed, isRunning: boolean): void {
    if (followed.isRunning !== isRunning) this.running += isRunning ? 1 : -1;
    followed.isRunning = isRunning;
  }
}
