/** Who lives, as a leader sees it. */
import type { JobClock, Roster, WorkerRecord } from '../base/job_bus.js';

/** A worker that isn't there for so long is gone: one that lost the bus for a moment keeps its shards. */
export const GONE_AFTER_MS = 3000;

/** Follows the roster. */
export class LiveWorkers {
  /** The first list has come. */
  readonly ready: Promise<void>;
  private living: readonly WorkerRecord[] = [];
  private readonly missedSinceMs = new Map<string, number>();
  private readonly startedMs: number;
  private readonly stopWatching: () => void;
  private readonly timers = new Set<() => void>();

  /** `changed`: somebody came, or has been away for long enough. */
  constructor(
    roster: Pick<Roster, 'watch'>,
    private readonly clock: JobClock,
    private readonly changed: () => void,
    private readonly goneAfterMs: number = GONE_AFTER_MS,
  ) {
    this.startedMs = clock.now();
    this.lookLater(); // shards may lie with workers that nobody of this time has seen
    let isReady: () => void = () => undefined;
    this.ready = new Promise((resolve) => (isReady = resolve));
    this.stopWatching = roster.watch((workers) => {
      this.hear(workers);
      isReady();
    });
  }

  /** Those that live. */
  get all(): readonly WorkerRecord[] {
    return this.living;
  }

  /** Whether it has been away for so long that its shards go elsewhere. */
  isGone(worker: string): boolean {
    if (this.living.some(({ id }) => id === worker)) return false;
    return this.clock.now() - (this.missedSinceMs.get(worker) ?? this.startedMs) >= this.goneAfterMs;
  }

  /** Hears no more. */
  stop(): void {
    this.stopWatching();
    for (const stop of this.timers) stop();
    this.timers.clear();
  }

  private hear(workers: readonly WorkerRecord[]): void {
    const ids = new Set(workers.map(({ id }) => id));
    const before = new Set(this.living.map(({ id }) => id));
    const left = [...before].filter((id) => !ids.has(id));
    for (const id of left) this.missedSinceMs.set(id, this.clock.now());
    for (const id of ids) this.missedSinceMs.delete(id);
    this.living = workers;
    if (left.length > 0) this.lookLater();
    if ([...ids].some((id) => !before.has(id))) this.changed();
  }

  private lookLater(): void {
    const stop = this.clock.after(this.goneAfterMs, () => {
      this.timers.delete(stop);
      this.changed();
    });
    this.timers.add(stop);
  }
}
