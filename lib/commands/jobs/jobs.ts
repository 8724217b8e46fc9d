/** `expertwire jobs`: what is to be done is told, asked for, looked at and ended. Workers do it. */
import { closing } from '../base/closing.js';
import type { CommandContext } from '../base/context.js';
import { stayingAlive } from '../base/staying_alive.js';
import { apply } from './apply.js';
import { fetchRun } from './fetch.js';
import { jobPlace, placeText, visitJobs } from './job_place.js';
import { checkedNames, type JobsArgs } from './jobs_options.js';
import { list } from './list.js';
import type { JobsRun } from './jobs_run.js';
import { logs } from './logs.js';
import { runJob } from './run.js';
import { removeJobs, stop } from './stop.js';

/** @throws UsageError, ConfigError, JobError; ToldError for a run that was waited for and failed */
export async function jobs(args: JobsArgs, context: CommandContext): Promise<void> {
  const names = checkedNames(args);
  const place = await jobPlace(args, context.env);
  const bus = await visitJobs(place, context.env);
  const run = { args, names, bus, where: placeText(place), context };
  await closing(
    () => bus.close(),
    () => stayingAlive(() => ACTS[args.action](run)),
  );
}

const ACTS: Readonly<Record<JobsArgs['action'], (run: JobsRun) => Promise<void>>> = {
  ...{ apply, logs, stop, remove: removeJobs },
  ...{ ls: list, run: runJob, fetch: fetchRun },
};
