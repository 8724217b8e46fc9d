/** A run of a job as it is kept: one record, which whoever leads alone writes. Shards have records of their own. Why: docs/decisions/jobs.md#who-leads-decides-and-a-stale-leader-writes-nothing */
import type { Job, Json } from './job.js';

/** Why a run began. */
export type Cause =
  | { readonly kind: 'schedule'; readonly trigger: number }
  | { readonly kind: 'asked' }
  | { readonly kind: 'after'; readonly run: string }
  /** It goes on with what failed of another run. */
  | { readonly kind: 'resume'; readonly run: string };

/** How it stands. `discarded`: another one ran. */
export type RunState = 'queued' | 'running' | 'succeeded' | 'failed' | 'stopped' | 'timed_out' | 'discarded';

/** Of a node. `waiting` with a `shardTotal`: its shards are being put in line. `skipped`: what it needs failed; `kept`: it was done in the run that this one resumes. */
export type NodeState = 'waiting' | 'running' | 'succeeded' | 'failed' | 'skipped' | 'stopped' | 'kept';

/** A node of a run. */
export interface NodeRun {
  readonly state: NodeState;
  /** Null: it didn't begin. */
  readonly shardTotal: number | null;
  /** Where its shards and files are: this run, or the one that did it. */
  readonly of: string;
  readonly beganMs: number | null;
  readonly endedMs: number | null;
  /** The first failure; null: none. */
  readonly error: TaskError | null;
}

/** Why something failed. */
export interface TaskError {
  readonly code: string;
  readonly message: string;
}

/** A run. Times are of the Unix epoch. */
export interface JobRun {
  /** `JOB-…`: letters, digits, - and _; the same firing always has the same one, so that it runs once. */
  readonly id: string;
  readonly job: Job;
  readonly cause: Cause;
  /** What who asked for it gave. */
  readonly params: Readonly<Record<string, Json>>;
  readonly state: RunState;
  /** Somebody asked it to end. */
  readonly isStopping: boolean;
  /** When it should have begun, when it was made, when it ran, when it ended. */
  readonly dueMs: number;
  readonly madeMs: number;
  readonly beganMs: number | null;
  readonly endedMs: number | null;
  readonly nodes: Readonly<Record<string, NodeRun>>;
  readonly error: TaskError | null;
  /** What follows of its end is done: runs of jobs behind it were made, and nothing of it waits in line. */
  readonly isSettled: boolean;
}

/** States that a run doesn't leave. */
export const ENDED: ReadonlySet<RunState> = new Set(['succeeded', 'failed', 'stopped', 'timed_out', 'discarded']);
