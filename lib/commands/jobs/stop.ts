/** `expertwire jobs stop` and `remove`: runs end; jobs go. */
import { JobError } from '../../jobs/base/errors.js';
import { ENDED } from '../../jobs/base/run.js';
import { askRecord, jobRecord, type Ask } from '../../jobs/base/task.js';
import { stopAskId } from '../../jobs/decisions/ids.js';
import { allRuns, jobNamed, runNamed, type JobsRun } from './jobs_run.js';

/** A run, or all of a job. @throws JobError NO_SUCH_RUN, BUS_FAILED */
export async function stop(run: JobsRun): Promise<void> {
  const { args, names, bus, context } = run;
  const [name] = names as [string];
  const ofJob = (await allRuns(bus)).filter(({ job }) => job.name === name);
  const runs = ofJob.length > 0 ? ofJob : [await runNamed(name, run)];
  const going = runs.filter(({ state }) => !ENDED.has(state));
  for (const { id } of going) {
    const ask: Ask = { kind: 'stop', run: id, atMs: Date.now() };
    await bus.records.write(askRecord(stopAskId(id)), JSON.stringify(ask), 0).catch(ignoreAsked);
    context.stdout.write(
      args.json === true ? `${JSON.stringify({ run: id, how: 'stopping' })}\n` : `stopping: ${id}\n`,
    );
  }
  if (going.length === 0 && args.json !== true)
    context.stdout.write(`nothing runs: ${runs[0]!.id} is ${runs[0]!.state}\n`);
}

/** Somebody asked for it already. */
function ignoreAsked(error: unknown): void {
  if (!(error instanceof JobError && error.code === 'RECORD_CONFLICT')) throw error;
}

/** With their runs, logs and files, which whoever leads removes. @throws JobError NO_SUCH_JOB, BUS_FAILED */
export async function removeJobs(run: JobsRun): Promise<void> {
  const { args, names, bus, context } = run;
  for (const name of names) await jobNamed(name, run);
  for (const name of names) {
    await bus.records.remove(jobRecord(name));
    context.stdout.write(
      args.json === true ? `${JSON.stringify({ job: name, how: 'removed' })}\n` : `removed: ${name}\n`,
    );
  }
}
