/** Sends a feed to everybody who watches: server-sent events, a snapshot and then deltas. */
import { Readable } from 'node:stream';
import { LIVE_LIMITS, type LiveMessageName } from './messages.js';

/** How many may watch, and how far they may fall behind. */
export interface LiveStreamOptions {
  /** Default 16. */
  readonly maxWatchers?: number;
  /** Bytes that wait for a watcher; one that is further behind is dropped. Default 1 MiB. */
  readonly maxBehindBytes?: number;
  /** Between two deltas. */
  readonly intervalMs?: number;
}

/** Tells what it follows: everything, then what changed since the last time. */
export interface Feed {
  start(): void;
  snapshot(): object;
  delta(): object;
}

const DEFAULTS = { maxWatchers: 16, maxBehindBytes: 2 ** 20, intervalMs: LIVE_LIMITS.intervalMs } as const;

/** Those who watch. While there is nobody, no message is made and no timer runs. */
export class LiveStream {
  private readonly options: Required<LiveStreamOptions>;
  private readonly watchers = new Set<Readable>();
  private timer: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(
    private readonly feed: Feed,
    options: LiveStreamOptions = {},
  ) {
    this.options = { ...DEFAULTS, ...options };
  }

  /** How many watch. */
  get numWatchers(): number {
    return this.watchers.size;
  }

  /** Nobody can watch any more. */
  get isClosed(): boolean {
    return this.closed;
  }

  /** Text of events from now on, until its reader destroys it or {@link close}; null: too many watch already, or it is closed. */
  open(): Readable | null {
    if (this.closed || this.watchers.size >= this.options.maxWatchers) return null;
    if (this.watchers.size === 0) this.feed.start();
    const watcher = new Readable({ read: () => undefined });
    this.watchers.add(watcher);
    watcher.once('close', () => this.remove(watcher));
    watcher.push(frameOf('snapshot', this.feed.snapshot()));
    this.timer ??= setInterval(() => this.tell(), this.options.intervalMs);
    return watcher;
  }

  /** Ends all streams. Idempotent. */
  close(): void {
    this.closed = true;
    clearInterval(this.timer);
    this.timer = undefined;
    for (const watcher of this.watchers) watcher.push(null);
    this.watchers.clear();
  }

  /** One delta for all. */
  private tell(): void {
    const frame = frameOf('delta', this.feed.delta());
    for (const watcher of this.watchers) {
      if (watcher.readableLength > this.options.maxBehindBytes) watcher.destroy();
      else watcher.push(frame);
    }
  }

  private remove(watcher: Readable): void {
    this.watchers.delete(watcher);
    if (this.watchers.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }
}

const frameOf = (event: LiveMessageName, data: object): Buffer =>
  Buffer.from(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
