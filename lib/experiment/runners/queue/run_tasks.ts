/** Runs of an experiment as tasks of a bus of jobs. Pure. */
import { createHash } from 'node:crypto';
import type { PlannedRun, RunEnd } from '../../base/run.js';
import type { Shard, ShardKey, Task } from '../../../jobs/base/task.js';

/** Of all runs of one folder of results: whoever begins anew there finds what was done. `owner`: the machine and the folder. */
export const sessionOf = (name: string, owner: string): string => {
  const words = name.replaceAll(/[^A-Za-z0-9_-]/g, '-').slice(0, MAX_NAME_CHARS);
  return `exp-${words}-${createHash('sha256').update(owner).digest('hex').slice(0, DIGITS)}`;
};

const MAX_NAME_CHARS = 64;
const DIGITS = 12;

/** A run's record. */
export const keyOf = (session: string, run: Pick<PlannedRun, 'id'>): ShardKey => ({
  run: session,
  node: run.id,
  index: 0,
});

/** What a worker is given: a run that fails isn't tried again, as it isn't here. */
export const taskOf = (key: ShardKey, run: PlannedRun, timeoutMs: number, nowMs: number): Task => ({
  key,
  job: key.run,
  shardTotal: 1,
  work: { kind: 'measure', run },
  inputs: [],
  timeoutMs,
  retries: { count: 0, backoffMs: 1000, maxBackoffMs: 1000 },
  dueMs: nowMs,
});

/** A shard that nobody does any more. */
export type EndedShard = Extract<Shard, { readonly state: 'done' | 'failed' | 'stopped' }>;

/** How a run ended that has no result. */
export function endOfFailed({ error, state, worker }: Exclude<EndedShard, { readonly state: 'done' }>): RunEnd {
  if (state === 'stopped') {
    const message = 'somebody stopped the run; run the same command with --retry-failed';
    return { status: 'failed', error: { code: 'RUN_FAILED', message } };
  }
  const isLate = error.code === 'RUN_TIMED_OUT' || error.code === 'TASK_TIMED_OUT';
  if (isLate) return { status: 'timed_out', error: { code: 'RUN_TIMED_OUT', message: error.message } };
  const message = error.code === 'NOT_ALLOWED' ? `worker ${worker} refuses: ${error.message}` : error.message;
  return { status: 'failed', error: { code: error.code, message } };
}
