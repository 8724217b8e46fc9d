/** Which of a job's runs go, and which of its files nobody needs any more. Pure. */
import type { Job } from '../base/job.js';
import { ENDED, type JobRun } from '../base/run.js';
import { byTurn } from './blocking.js';

/**
 * Runs that may go: older ones than the last `keepRuns` that have ended; those that were discarded are counted by themselves, so that they push out no others. What a later run keeps nodes of stays, and so does the
 * last one of each schedule: it says which firings were there.
 */
export function removableRuns(runs: readonly JobRun[], keepRuns: number): readonly JobRun[] {
  const ended = runs.filter(({ state, isSettled }) => ENDED.has(state) && isSettled).sort(byTurn);
  const discarded = ended.filter(({ state }) => state === 'discarded');
  const others = ended.filter(({ state }) => state !== 'discarded');
  const old = new Set([discarded, others].flatMap((some) => some.slice(0, Math.max(0, some.length - keepRuns))));
  for (const run of lastOfSchedules(ended)) old.delete(run);
  const needed = new Set(runs.filter((run) => !old.has(run)).flatMap(sourcesOf));
  return [...old].filter(({ id }) => !needed.has(id));
}

/** Runs that did nodes of this one. */
export const sourcesOf = (run: JobRun): readonly string[] =>
  [...new Set(Object.values(run.nodes).map(({ of }) => of))].filter((of) => of !== run.id);

/** Blobs that a job was applied with. */
export const blobsOf = ({ nodes }: Job): readonly string[] =>
  nodes.flatMap(({ work }) => (work.kind === 'experiment' ? [work.plan] : work.kind === 'batch' ? [work.input] : []));

/** Blobs of a job that goes, which neither the job as it is now nor another run of it names. */
export function unusedBlobs(gone: Job, job: Job | null, runs: readonly JobRun[]): readonly string[] {
  const used = new Set([...(job === null ? [] : [job]), ...runs.map((run) => run.job)].flatMap(blobsOf));
  return blobsOf(gone).filter((name) => !used.has(name));
}

function lastOfSchedules(ended: readonly JobRun[]): Iterable<JobRun> {
  const last = new Map<number, JobRun>();
  for (const run of ended) if (run.cause.kind === 'schedule') last.set(run.cause.trigger, run);
  return last.values();
}
