/** What all actions of `jobs` have, and finding what their names mean. */
import { nearestName } from '../advice/near_names.js';
import { printable } from '../../../base/foreign_text.js';
import { JobError } from '../../jobs/base/errors.js';
import type { Job } from '../../jobs/base/job.js';
import { jobOf, runOf } from '../../jobs/base/parse.js';
import type { JobRun } from '../../jobs/base/run.js';
import { jobRecord, runRecord } from '../../jobs/base/task.js';
import type { VisitedJobBus } from '../../jobs/local/local_job_bus.js';
import type { CommandContext } from '../base/context.js';
import type { JobsArgs } from './jobs_options.js';

/** What an action is given. */
export interface JobsRun {
  readonly args: JobsArgs;
  readonly names: readonly string[];
  readonly bus: VisitedJobBus;
  /** Where jobs are, for who reads it. */
  readonly where: string;
  readonly context: CommandContext;
}

type Bus = Pick<VisitedJobBus, 'records'>;

/** A name that no record can have is nobody's. */
const isName = (name: string): boolean => /^[A-Za-z0-9_-]+$/.test(name);

/** By their names. */
export async function allJobs({ records }: Bus): Promise<readonly Job[]> {
  const found = (await records.list('job')).map(jobOf);
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The last one first. */
export async function allRuns({ records }: Bus): Promise<readonly JobRun[]> {
  const found = (await records.list('run')).map(runOf);
  return found.sort((a, b) => b.madeMs - a.madeMs || b.dueMs - a.dueMs);
}

/** @throws JobError NO_SUCH_JOB, with the name that was probably meant */
export async function jobNamed(name: string, { bus, where }: Pick<JobsRun, 'bus' | 'where'>): Promise<Job> {
  const record = isName(name) ? await bus.records.read(jobRecord(name)) : null;
  if (record !== null) return jobOf(record);
  const names = (await allJobs(bus)).map((job) => job.name);
  const near = nearestName(name, names);
  const advice =
    near === undefined ? `there are ${names.join(', ') || 'none'}: see expertwire jobs ls` : `did you mean ${near}?`;
  throw new JobError('NO_SUCH_JOB', `there is no job ${printable(name)} in ${where}; ${advice}`);
}

/** A run, or the last one of a job. @throws JobError NO_SUCH_RUN */
export async function runNamed(name: string, { bus, where }: Pick<JobsRun, 'bus' | 'where'>): Promise<JobRun> {
  const record = isName(name) ? await bus.records.read(runRecord(name)) : null;
  if (record !== null) return runOf(record);
  const runs = await allRuns(bus);
  const last = runs.find(({ job }) => job.name === name);
  if (last !== undefined) return last;
  const near = nearestName(name, [...new Set(runs.flatMap(({ id, job }) => [id, job.name]))]);
  const advice = near === undefined ? 'see expertwire jobs ls --runs' : `did you mean ${near}?`;
  throw new JobError('NO_SUCH_RUN', `there is no run ${printable(name)} in ${where}; ${advice}`);
}
