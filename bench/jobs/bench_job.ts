/** Jobs whose shards do nothing. */
import { randomUUID } from 'node:crypto';
import type { Job, Trigger } from '../../lib/jobs/base/job.js';
import type { JobBus } from '../../lib/jobs/base/job_bus.js';
import { ENDED, type JobRun } from '../../lib/jobs/base/run.js';
import { askRecord, jobRecord, type Ask } from '../../lib/jobs/base/task.js';

/** In `shards`. */
export const benchJob = (name: string, shards: number, triggers: readonly Trigger[]): Job => ({
  ...{
    name,
    description: '',
    triggers,
    blocking: 'discard',
    misfire: 'skip',
    maxQueued: 16,
    timeoutMs: null,
    keepRuns: 2,
  },
  nodes: [
    {
      ...{ name: 'work', needs: [], route: 'any', timeoutMs: 60_000 },
      work: { kind: 'rebalance', url: 'http://127.0.0.1:9' }, // played
      shards: { kind: 'count', count: shards },
      retries: { count: 2, backoffMs: 1000, maxBackoffMs: 60_000 },
    },
  ],
});

/** It is there from now on. */
export async function putJob({ records }: JobBus, job: Job): Promise<void> {
  await records.write(jobRecord(job.name), JSON.stringify(job), 0);
}

/** Asks for a run of it, and gives it when it has ended. */
export async function runJob(bus: JobBus, job: string): Promise<JobRun> {
  const ask: Ask = { kind: 'run', job, params: {}, atMs: Date.now(), resume: null };
  let stop = (): void => undefined;
  const ended = new Promise<JobRun>((resolve) => {
    stop = watchRuns(bus, job, (run) => {
      if (ENDED.has(run.state)) resolve(run);
    });
  });
  await bus.records.write(askRecord(randomUUID()), JSON.stringify(ask), 0);
  return ended.finally(stop);
}

/** Tells every change of a run of the job. Returns how to stop that. */
export const watchRuns = ({ records }: JobBus, job: string, tell: (run: JobRun) => void): (() => void) =>
  records.watch('run', {
    changed: (_key, text) => {
      const run = text === null ? null : (JSON.parse(text) as JobRun);
      if (run?.job.name === job) tell(run);
    },
  });
