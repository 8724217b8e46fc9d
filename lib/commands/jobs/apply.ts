/** `expertwire jobs apply`: files are checked, and what they say is kept. */
import type { CheckRun } from '../../experiment/file/run_check.js';
import { JobError } from '../../jobs/base/errors.js';
import { jobRecord } from '../../jobs/base/task.js';
import { readJobs, type ReadJob } from '../../jobs/file/read_jobs.js';
import type { VisitedJobBus } from '../../jobs/local/local_job_bus.js';
import { loadBenches } from '../base/benches.js';
import { UsageError } from '../base/context.js';
import type { JobsRun } from './jobs_run.js';
import { jobLine } from './list_text.js';

/** All files are looked at before anything is kept. @throws ConfigError, UsageError, JobError BUS_FAILED */
export async function apply({ args, names, bus, context: { stdout, env } }: JobsRun): Promise<void> {
  const { checkMeasure: checkRun } = await loadBenches<{ readonly checkMeasure: CheckRun }>();
  const jobs: ReadJob[] = [];
  for (const file of names) jobs.push(...(await readJobs(file, { cwd: process.cwd(), env, checkRun })));
  const twice = jobs.find(({ job }, i) => jobs.findIndex((other) => other.job.name === job.name) < i);
  if (twice !== undefined) throw new UsageError(`two files have a job ${twice.job.name}; give each a name of its own`);
  for (const each of jobs) {
    const how = args.dryRun === true ? 'checked' : await keep(bus, each);
    const { name } = each.job;
    stdout.write(args.json === true ? `${JSON.stringify({ job: name, how })}\n` : `${how}: ${jobLine(each.job)}\n`);
  }
}

/** Files before the job that names them. */
async function keep(
  { records, blobs }: Pick<VisitedJobBus, 'records' | 'blobs'>,
  { job, blobs: own }: ReadJob,
): Promise<'applied' | 'unchanged'> {
  const key = jobRecord(job.name);
  const text = JSON.stringify(job);
  for (;;) {
    const found = await records.read(key);
    if (found?.text === text) return 'unchanged';
    for (const { name, content } of own) await blobs.put(name, content());
    try {
      await records.write(key, text, found?.revision ?? 0);
      return 'applied';
    } catch (error) {
      if (!(error instanceof JobError && error.code === 'RECORD_CONFLICT')) throw error; // the last one counts
    }
  }
}
