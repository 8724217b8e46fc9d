/**
 * What jobs need of whatever keeps them: a folder and a process, or NATS JetStream. What it keeps outlives every process; what waits for a bus that is down waits so long as the bus is
 * patient, and then rejects with JobError BUS_FAILED.
 * Why: docs/decisions/jobs.md#one-bus-two-kinds
 */
import type { ShardKey, Task } from './task.js';

/** Records by key (`run.ID`; tokens of letters, digits, - and _, between dots), each a small JSON text with a revision: compare and set. */
export interface Records {
  read(key: string): Promise<JobRecord | null>;
  /**
   * Writes where the record's revision is still `revision` (0: there is none), and gives the new one, which is larger.
   * @throws JobError RECORD_CONFLICT, BUS_FAILED
   */
  write(key: string, text: string, revision: number): Promise<number>;
  /** Deletes, where there is one. */
  remove(key: string): Promise<void>;
  /** All whose keys begin with `prefix` (whole tokens: `shard.RUN`, or '' for all), in no order. */
  list(prefix: string): Promise<readonly JobRecord[]>;
  /** Tells those that are there, then 'ready' by `text: undefined` once, then what comes; the same state may be told twice. Returns how to stop that. */
  watch(prefix: string, listener: RecordListener): () => void;
}

/** A record. */
export interface JobRecord {
  readonly key: string;
  readonly text: string;
  readonly revision: number;
}

/** What a watcher is told. */
export interface RecordListener {
  /** `text` null: it was removed. */
  readonly changed: (key: string, text: string | null, revision: number) => void;
  /** All that were there are told. Again after the bus was down: all is told anew. */
  readonly ready?: () => void;
}

/** Tasks that wait. Each is delivered until it is done: who takes it and dies has it taken from him. */
export interface TaskQueue {
  /** Puts tasks in line; an id that was put in line before is not put again (within two minutes at least). `to`: a worker; null: any. */
  add(tasks: readonly QueuedTask[]): Promise<void>;
  /**
   * Takes tasks for a worker, its own and anybody's, `width` at a time. `handle` ends with one of the delivery's verbs; where it rejects or its process dies, the task is delivered again.
   * Returns how to stop: nothing new is taken, and it resolves when what runs is over.
   */
  take(worker: string, width: number, handle: (delivery: Delivery) => Promise<void>): () => Promise<void>;
  /** Drops what waits of a run, or for a worker; what is being worked on goes on. */
  drop(what: { readonly run: string } | { readonly worker: string }): Promise<void>;
  /** False: what waits is gone with the process, and whoever leads puts it in line again. */
  readonly isDurable: boolean;
}

/** A task in line. */
export interface QueuedTask {
  readonly id: string;
  readonly to: string | null;
  readonly task: Task;
}

/** A task in hand. Verbs wait for a bus that is down; a task whose worker is silent for `silenceMs` goes to another one. */
export interface Delivery {
  readonly task: Task;
  /** Times that it was delivered, this one too. */
  readonly deliveries: number;
  done(): Promise<void>;
  /** Deliver it again, not before `delayMs`. */
  again(delayMs: number): Promise<void>;
  /** Nobody can do it: it waits no more. Its record `dead.RUN.NODE.INDEX` ({@link DeadLetter}) stays for who looks (`jobs ls --dead`). */
  dead(reason: string): Promise<void>;
}

/** What is kept of a task that nobody can do. */
export interface DeadLetter {
  readonly task: Task;
  readonly reason: string;
  readonly deliveries: number;
  readonly atMs: number;
}

/** When a job is due. */
export type Schedule =
  | { readonly kind: 'cron'; readonly cron: string; readonly timezone: string }
  | { readonly kind: 'every'; readonly everyMs: number };

/** A job is due. */
export interface Firing {
  readonly job: string;
  /** Which of its triggers. */
  readonly trigger: number;
  /** When it should have come, and when it came; both of the bus's clock. */
  readonly dueMs: number;
}

/** Schedules that live on the bus. */
export interface Schedules {
  /** Replaces all of a job; none: []. By index of the job's triggers; null: not a schedule. */
  set(job: string, schedules: readonly (Schedule | null)[]): Promise<void>;
  /** Each firing comes once `handle` has resolved or again; of those that were missed the last one comes. One that takes at a time. */
  take(handle: (firing: Firing) => Promise<void>): () => Promise<void>;
}

/** Files of jobs, by name (`RUN/NODE/…`), of any size. */
export interface Blobs {
  /** Whole, or not there. */
  put(name: string, content: AsyncIterable<Uint8Array>): Promise<number>;
  /** @throws JobError BROKEN_RECORD: it isn't there, or isn't what was put */
  get(name: string): AsyncIterable<Uint8Array>;
  /** All whose names begin so. */
  remove(prefix: string): Promise<void>;
}

/** A line of a log. */
export interface LogLine extends ShardKey {
  readonly attempt: number;
  readonly atMs: number;
  readonly text: string;
}

/** What tasks say, bounded: the oldest lines go first. */
export interface Logs {
  append(lines: readonly LogLine[]): Promise<void>;
  /** Of a run, a node, a shard, in order; with `follow` goes on until the signal says so. */
  read(
    what: { readonly run: string; readonly node?: string; readonly index?: number },
    follow: AbortSignal | null,
  ): AsyncIterable<LogLine>;
  remove(run: string): Promise<void>;
}

/** A worker as others see it. */
export interface WorkerRecord {
  /** Letters, digits, - and _, up to 64. */
  readonly id: string;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  /** Tasks at a time, and those in hand. */
  readonly width: number;
  readonly numRunning: number;
  readonly startedMs: number;
}

/** Who is there. */
export interface Roster {
  /** @throws JobError WORKER_ID_TAKEN */
  enter(record: WorkerRecord): Promise<Seat>;
  /** All that live, at once and whenever that changes. */
  watch(listener: (workers: readonly WorkerRecord[]) => void): () => void;
  /**
   * Tries to lead, again and again, until the signal says so: `lead` runs while this process leads, and is told by its signal that it doesn't any more. One leads at a time, but for a moment.
   */
  campaign(id: string, lead: (until: AbortSignal) => Promise<void>, until: AbortSignal): Promise<void>;
}

/** A worker's place. */
export interface Seat {
  update(record: WorkerRecord): void;
  leave(): Promise<void>;
}

/** Time, as far as a bus, a leader and a worker need it: tests play it. Milliseconds of the Unix epoch. */
export interface JobClock {
  now(): number;
  /** Calls once, later; returns how to stop that. */
  after(ms: number, act: () => void): () => void;
}

/** All of it. */
export interface JobBus {
  readonly records: Records;
  readonly tasks: TaskQueue;
  readonly schedules: Schedules;
  readonly blobs: Blobs;
  readonly logs: Logs;
  readonly roster: Roster;
  /** Idempotent. */
  close(): Promise<void>;
}
