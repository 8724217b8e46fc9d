/** One shard as a worker gets it, and what is kept of it. Why: docs/decisions/jobs.md#a-shard-is-committed-once */
import type { PlannedRun } from '../../experiment/base/run.js';
import type { Json, Retries } from './job.js';
import type { TaskError } from './run.js';

/** Which shard. */
export interface ShardKey {
  readonly run: string;
  readonly node: string;
  /** From 0. */
  readonly index: number;
}

/** What a worker does with a shard: nothing is left to be looked up but blobs and files of its inputs. */
export type TaskWork =
  | { readonly kind: 'measure'; readonly run: PlannedRun }
  /** Placeholders are put in already, but `${inputs}`. */
  | { readonly kind: 'command'; readonly args: readonly string[] }
  /** Lines `from` to before `to` of the blob. */
  | {
      readonly kind: 'batch';
      readonly url: string;
      readonly input: string;
      readonly from: number;
      readonly to: number;
      readonly concurrency: number;
    }
  | { readonly kind: 'rebalance'; readonly url: string };

/** A message of the queue. */
export interface Task {
  readonly key: ShardKey;
  readonly job: string;
  readonly shardTotal: number;
  readonly work: TaskWork;
  /** Nodes (with the run that did them) whose files are put into the folder `inputs/NODE/` first. */
  readonly inputs: readonly { readonly run: string; readonly node: string }[];
  readonly timeoutMs: number;
  readonly retries: Retries;
  /** When its run should have begun. */
  readonly dueMs: number;
}

/** A file that a shard left, whole. */
export interface OutputFile {
  /** Relative, with `/`; no `..`. */
  readonly name: string;
  readonly blob: string;
  readonly bytes: number;
}

/** The record of a shard. It is `done`, `failed` or `stopped` once and for ever: whoever wrote that first did it. */
export type Shard =
  /** Some tries failed, and it will be tried again. */
  | { readonly state: 'trying'; readonly failures: number; readonly error: TaskError }
  | {
      readonly state: 'done';
      readonly files: readonly OutputFile[];
      /** Small: what lists show. */
      readonly value: Json;
      readonly worker: string;
      /** Tries, this one too. */
      readonly attempts: number;
      readonly beganMs: number;
      readonly endedMs: number;
    }
  | {
      readonly state: 'failed' | 'stopped';
      readonly error: TaskError;
      readonly worker: string;
      readonly attempts: number;
      readonly endedMs: number;
    };

/** Key of a shard's record. */
export const shardRecord = ({ run, node, index }: ShardKey): string => `shard.${run}.${node}.${index}`;
/** Keys of records of runs and jobs. */
export const runRecord = (run: string): string => `run.${run}`;
/** Of a job. */
export const jobRecord = (job: string): string => `job.${job}`;
/** Of a task that nobody can do. */
export const deadRecord = ({ run, node, index }: ShardKey): string => `dead.${run}.${node}.${index}`;
/** Somebody asks for a run; gone when it was made. */
export const askRecord = (id: string): string => `ask.${id}`;

/** What {@link askRecord} holds. */
export type Ask =
  | {
      readonly kind: 'run';
      readonly job: string;
      readonly params: Readonly<Record<string, Json>>;
      readonly atMs: number;
      /** Which run goes on; null: a new one. */
      readonly resume: string | null;
    }
  /** Of a run. */
  | { readonly kind: 'stop'; readonly run: string; readonly atMs: number };
