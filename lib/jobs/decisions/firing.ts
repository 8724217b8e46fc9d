/** What becomes of a firing, and which schedules a job has. Pure. */
import type { Job } from '../base/job.js';
import type { Firing, Schedule } from '../base/job_bus.js';
import type { JobRun } from '../base/run.js';

/** A firing that comes later than this was missed: nobody was there to start it. */
export const MISSED_AFTER_MS = 5000;

/** Whether a firing makes a run: its job has that trigger, it wasn't missed (or is made up for), and it isn't one that made a run before. */
export function isRunDue(job: Job, { trigger, dueMs }: Firing, runs: readonly JobRun[], nowMs: number): boolean {
  if (scheduleOf(job, trigger) === null) return false;
  if (job.misfire === 'skip' && nowMs - dueMs > MISSED_AFTER_MS) return false;
  return dueMs > lastDueMs(runs, trigger);
}

/** One for each of the job's triggers; null: it isn't a schedule. */
export const schedulesOf = (job: Job): readonly (Schedule | null)[] =>
  job.triggers.map((_, index) => scheduleOf(job, index));

/** Jobs that a run's end makes run. Those that were discarded make none, and a run that was stopped neither succeeded nor failed. */
export function jobsAfter(run: JobRun, jobs: Iterable<Job>): readonly Job[] {
  const isFailure = run.state === 'failed' || run.state === 'timed_out';
  const ways: readonly string[] =
    run.state === 'discarded'
      ? []
      : ['end', ...(run.state === 'succeeded' ? ['success'] : isFailure ? ['failure'] : [])];
  return [...jobs].filter(({ triggers }) =>
    triggers.some((trigger) => trigger.kind === 'after' && trigger.job === run.job.name && ways.includes(trigger.on)),
  );
}

function scheduleOf({ triggers }: Job, index: number): Schedule | null {
  const trigger = triggers[index];
  return trigger === undefined || trigger.kind === 'after' ? null : trigger;
}

/** When the last run of a trigger was due; −∞: there is none. */
const lastDueMs = (runs: readonly JobRun[], trigger: number): number =>
  Math.max(...runs.filter(({ cause }) => isOf(cause, trigger)).map(({ dueMs }) => dueMs), -Infinity);

const isOf = (cause: JobRun['cause'], trigger: number): boolean =>
  cause.kind === 'schedule' && cause.trigger === trigger;
