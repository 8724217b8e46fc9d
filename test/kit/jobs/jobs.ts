import type { Job, JobNode } from '../../../lib/jobs/base/job.js';
import type { JobRun } from '../../../lib/jobs/base/run.js';
import { newRun } from '../../../lib/jobs/decisions/new_run.js';

/** A node of one shard. */
export const node = (name: string, changes: Partial<JobNode> = {}): JobNode => ({
  name,
  needs: [],
  work: { kind: 'command', args: ['models'] },
  shards: { kind: 'count', count: 1 },
  route: 'any',
  retries: { count: 2, backoffMs: 1000, maxBackoffMs: 60_000 },
  timeoutMs: 3_600_000,
  ...changes,
});

/** A job of one node, unless said otherwise. */
export const job = (changes: Partial<Job> = {}): Job => ({
  name: 'nightly',
  description: '',
  triggers: [],
  blocking: 'serial',
  misfire: 'once',
  maxQueued: 16,
  timeoutMs: null,
  keepRuns: 20,
  nodes: [node('work')],
  ...changes,
});

/** A run of a job that waits, with changes. */
export const runOf = (of: Job, id: string, dueMs: number, changes: Partial<JobRun> = {}): JobRun => ({
  ...newRun({ id, job: of, cause: { kind: 'asked' }, params: {}, dueMs, nowMs: dueMs }),
  ...changes,
});
