/** Which runs of a job begin, and which don't, while others run. Pure. */
import type { Job } from '../base/job.js';
import { ENDED, type JobRun, type TaskError } from '../base/run.js';

/** What becomes of a job's runs. */
export interface Blocking {
  /** Null: none. */
  readonly begins: JobRun | null;
  readonly discards: readonly Ending[];
  /** They run, and are to stop. */
  readonly stops: readonly Ending[];
}

/** A run that is to end, and why. */
export interface Ending {
  readonly run: JobRun;
  readonly error: TaskError;
}

/** Of all runs of a job, as its `blocking` says; one runs at a time. Those in line come by when they were due. */
export function blockingOf(
  runs: readonly JobRun[],
  { blocking, maxQueued }: Pick<Job, 'blocking' | 'maxQueued'>,
): Blocking {
  const queued = runs.filter(({ state }) => state === 'queued').sort(byTurn);
  const running = runs.filter(({ state }) => state !== 'queued' && !ENDED.has(state));
  switch (blocking) {
    case 'serial':
      return serial(queued, running, maxQueued);
    case 'discard':
      return discarding(queued, running);
    case 'cover':
      return covering(queued, running);
  }
}

/** The order in which runs begin. */
export const byTurn = (a: JobRun, b: JobRun): number =>
  a.dueMs - b.dueMs || a.madeMs - b.madeMs || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);

function serial(queued: readonly JobRun[], running: readonly JobRun[], maxQueued: number): Blocking {
  const begins = running.length === 0 ? (queued[0] ?? null) : null;
  const waiting = begins === null ? queued : queued.slice(1);
  const discards = waiting.slice(maxQueued).map((run) => ({
    run,
    error: {
      code: 'TOO_MANY',
      message: `${maxQueued} runs wait already; make them shorter or rarer, or set max_queued higher`,
    },
  }));
  return { begins, discards, stops: [] };
}

function discarding(queued: readonly JobRun[], running: readonly JobRun[]): Blocking {
  const begins = running.length === 0 ? (queued[0] ?? null) : null;
  const other = running[0] ?? begins;
  const discards = queued
    .filter((run) => run !== begins)
    .map((run) => ({ run, error: stopped(`${other?.id ?? ''} ran when it was due`) }));
  return { begins, discards, stops: [] };
}

function covering(queued: readonly JobRun[], running: readonly JobRun[]): Blocking {
  const last = queued.at(-1);
  if (last === undefined) return { begins: null, discards: [], stops: [] };
  const error = stopped(`${last.id} came and takes its place`);
  return {
    begins: running.length === 0 ? last : null,
    discards: queued.slice(0, -1).map((run) => ({ run, error })),
    stops: running.filter(({ isStopping }) => !isStopping).map((run) => ({ run, error })),
  };
}

const stopped = (message: string): TaskError => ({ code: 'RUN_STOPPED', message });
