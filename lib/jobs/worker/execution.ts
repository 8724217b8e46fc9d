/** What a worker runs for a task. */
import type { Json } from '../base/job.js';
import type { Blobs } from '../base/job_bus.js';
import type { Task, TaskWork } from '../base/task.js';
import type { Rights, RealPath } from '../work/rights.js';
import type { ShardFolder } from './shard_folder.js';

/** What a try is given. */
export interface TryContext {
  readonly task: Task;
  readonly folder: ShardFolder;
  /** What its work names. */
  readonly blobs: Pick<Blobs, 'get'>;
  readonly rights: Rights;
  readonly realPath: RealPath;
  /** Of processes: without what the worker alone is to know. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Sent to servers that the worker's owner named; null: none. */
  readonly apiKey: string | null;
  /** Arguments of Node that begin expertwire's command line. */
  readonly program: readonly string[];
  /** From being asked to end to being ended. */
  readonly graceMs: number;
  readonly log: (line: string) => void;
  /** It is to end; the reason says why. */
  readonly signal: AbortSignal;
}

/** What it left. */
export interface TryResult {
  /** Null: all that is in its folder. */
  readonly files: readonly string[] | null;
  readonly value: Json;
}

/** Does the work of one kind. @throws JobError; the signal's reason */
export type Execute<K extends TaskWork['kind']> = (
  work: Extract<TaskWork, { readonly kind: K }>,
  context: TryContext,
) => Promise<TryResult>;
