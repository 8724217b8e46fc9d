/** Schedules by this process's clock. What was due last is kept, so that who starts again knows what was missed. */
import type { Firing, JobClock, Records, Schedule, Schedules } from '../base/job_bus.js';
import { lastDue, nextDue } from './next_due.js';

/** Kept of each trigger of a job: `schedule.JOB`. */
interface Kept {
  readonly schedule: Schedule | null;
  readonly fromMs: number;
  /** All until then have been handled. */
  readonly doneMs: number;
}

/** Behind a failure to handle one. */
const AGAIN_MS = 1000;

const recordOf = (job: string): string => `schedule.${job}`;

/** {@link Schedules} of the process that owns the records. */
export class LocalSchedules implements Schedules {
  private readonly timers = new Map<string, () => void>();
  private handle: ((firing: Firing) => Promise<void>) | null = null;
  /** Writes of one record at a time. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly records: Records,
    private readonly clock: JobClock,
  ) {}

  /** As {@link Schedules.set}. What is the same as before goes on as it was. */
  set(job: string, schedules: readonly (Schedule | null)[]): Promise<void> {
    return this.inTurn(async () => {
      const before = await this.keptOf(job);
      const now = this.clock.now();
      const isSame = (at: number): boolean => JSON.stringify(before[at]?.schedule) === JSON.stringify(schedules[at]);
      const kept = schedules.map((schedule, at) => (isSame(at) ? before[at]! : { schedule, fromMs: now, doneMs: now }));
      if (kept.length === 0) await this.records.remove(recordOf(job));
      else await this.keep(job, kept);
      before.forEach((_, at) => this.forget(job, at));
      kept.forEach((each, at) => this.wait(job, at, each));
    });
  }

  /** As {@link Schedules.take}. */
  take(handle: (firing: Firing) => Promise<void>): () => Promise<void> {
    this.handle = handle;
    void this.inTurn(async () => {
      for (const { key, text } of await this.records.list('schedule')) {
        (JSON.parse(text) as Kept[]).forEach((each, at) => this.wait(key.slice('schedule.'.length), at, each));
      }
    });
    return async () => {
      this.handle = null;
      this.close();
      await this.last;
    };
  }

  /** Nothing fires any more. */
  close(): void {
    for (const stop of this.timers.values()) stop();
    this.timers.clear();
  }

  private wait(job: string, trigger: number, { schedule, fromMs, doneMs }: Kept): void {
    this.forget(job, trigger);
    if (schedule === null || this.handle === null) return;
    const now = this.clock.now();
    const dueMs = lastDue(schedule, fromMs, doneMs, now) ?? nextDue(schedule, fromMs, doneMs);
    if (dueMs === null) return;
    this.timers.set(
      timerOf(job, trigger),
      this.clock.after(dueMs - now, () => void this.fire({ job, trigger, dueMs })),
    );
  }

  private async fire(firing: Firing): Promise<void> {
    const { job, trigger, dueMs } = firing;
    const isHandled = await (this.handle?.(firing) ?? Promise.reject(new Error('nobody takes'))).then(
      () => true,
      () => false,
    );
    await this.inTurn(async () => {
      const kept = await this.keptOf(job);
      const own = kept[trigger];
      if (own === undefined || this.handle === null) return;
      if (!isHandled) {
        this.timers.set(
          timerOf(job, trigger),
          this.clock.after(AGAIN_MS, () => void this.fire(firing)),
        );
        return;
      }
      const next = { ...own, doneMs: Math.max(own.doneMs, dueMs) };
      await this.keep(
        job,
        kept.map((each, at) => (at === trigger ? next : each)),
      );
      this.wait(job, trigger, next);
    });
  }

  private forget(job: string, trigger: number): void {
    this.timers.get(timerOf(job, trigger))?.();
    this.timers.delete(timerOf(job, trigger));
  }

  private async keptOf(job: string): Promise<readonly Kept[]> {
    const found = await this.records.read(recordOf(job));
    return found === null ? [] : (JSON.parse(found.text) as Kept[]);
  }

  private async keep(job: string, kept: readonly Kept[]): Promise<void> {
    const found = await this.records.read(recordOf(job));
    await this.records.write(recordOf(job), JSON.stringify(kept), found?.revision ?? 0);
  }

  private inTurn(act: () => Promise<void>): Promise<void> {
    const work = this.last.then(act);
    this.last = work.catch(() => undefined);
    return work;
  }
}

const timerOf = (job: string, trigger: number): string => `${job}.${trigger}`;
