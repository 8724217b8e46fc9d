/** `expertwire jobs ls`: jobs with their last runs; runs, workers or dead tasks. */
import { jsonOrUndefined } from '../../../base/foreign_text.js';
import type { DeadLetter, WorkerRecord } from '../../jobs/base/job_bus.js';
import type { VisitedJobBus } from '../../jobs/local/local_job_bus.js';
import { UsageError } from '../base/context.js';
import { allJobs, allRuns, jobNamed, type JobsRun } from './jobs_run.js';
import { deadText, jobsText, runsText, workersText } from './list_text.js';

/** @throws UsageError, JobError */
export async function list(run: JobsRun): Promise<void> {
  const { args, names, bus } = run;
  const [what = 'jobs', other] = (['runs', 'workers', 'dead'] as const).filter((each) => args[each] === true);
  if (other !== undefined) throw new UsageError(`--${what} and --${other} are different lists; give one of them`);
  for (const name of names) await jobNamed(name, run);
  const isMeant = (job: string): boolean => names.length === 0 || names.includes(job);
  const nowMs = Date.now();
  if (what === 'jobs') {
    const [jobs, runs] = [(await allJobs(bus)).filter(({ name }) => isMeant(name)), await allRuns(bus)];
    print(run, jobs, (all) => jobsText(all, (name) => runs.find(({ job }) => job.name === name)));
  } else if (what === 'runs') {
    const runs = (await allRuns(bus)).filter(({ job }) => isMeant(job.name));
    print(run, runs, (all) => runsText(all, nowMs));
  } else if (what === 'workers') {
    print(run, await workersOf(bus), (all) => workersText(all, nowMs));
  } else {
    const letters = (await bus.records.list('dead')).flatMap(
      ({ text }) => (jsonOrUndefined(text) as DeadLetter | undefined) ?? [],
    );
    const meant = letters.filter(({ task }) => isMeant(task.job));
    print(run, meant, deadText);
  }
}

/** An object a line, or a table. */
function print<T>(
  { args, context: { stdout } }: JobsRun,
  all: readonly T[],
  textOf: (all: readonly T[]) => string,
): void {
  stdout.write(args.json === true ? all.map((each) => `${JSON.stringify(each)}\n`).join('') : `${textOf(all)}\n`);
}

/** Those that are there now, by their names. */
export const workersOf = ({ roster }: Pick<VisitedJobBus, 'roster'>): Promise<readonly WorkerRecord[]> =>
  new Promise((resolve) => {
    const stop = roster.watch((workers) => {
      resolve([...workers].sort((a, b) => (a.id < b.id ? -1 : 1)));
      queueMicrotask(() => stop());
    });
  });
