/** `expertwire jobs run`: a run of a job is asked for. */
import { randomBytes } from 'node:crypto';
import { printable } from '../../../base/foreign_text.js';
import type { Job, Json } from '../../jobs/base/job.js';
import { placeholdersIn } from '../../jobs/base/placeholders.js';
import type { JobRun } from '../../jobs/base/run.js';
import { askRecord, type Ask } from '../../jobs/base/task.js';
import { askedRunId } from '../../jobs/decisions/ids.js';
import { nearestName } from '../advice/near_names.js';
import { ToldError, UsageError, type CommandContext } from '../base/context.js';
import { endedRun } from './ended_run.js';
import { jobNamed, runNamed, type JobsRun } from './jobs_run.js';
import { workersOf } from './list.js';

const SALT_BYTES = 4;
const MAX_CHARS = 500;

/** Prints the run's id. @throws UsageError, JobError; ToldError where it was waited for and failed */
export async function runJob(run: JobsRun): Promise<void> {
  const { args, bus, context } = run;
  const job = await jobNamed(run.names[0]!, run);
  const params = paramsOf(args.param ?? [], job);
  const resume = args.resume === undefined ? null : (await runNamed(args.resume, run)).id;
  const atMs = Date.now();
  const id = askedRunId(job.name, atMs, randomBytes(SALT_BYTES).toString('hex'));
  const ask: Ask = { kind: 'run', job: job.name, params, atMs, resume };
  await bus.records.write(askRecord(id), JSON.stringify(ask), 0);
  if (args.json !== true) context.stdout.write(`${id}\n`);
  if ((await workersOf(bus)).length === 0)
    context.stderr.write('no worker is there; the run begins when one is: expertwire worker\n');
  if (args.wait !== true) {
    if (args.json === true) context.stdout.write(`${JSON.stringify({ run: id })}\n`);
    return;
  }
  const ended = await endedRun(bus, id, context.signal);
  if (args.json === true) context.stdout.write(`${JSON.stringify(ended)}\n`);
  tellEnd(ended, context);
}

/** @throws ToldError unless it succeeded */
function tellEnd({ id, state, error, nodes }: JobRun, { stderr }: CommandContext): void {
  if (state === 'succeeded') return;
  const failed = Object.entries(nodes).find(([, node]) => node.error !== null);
  const why = failed?.[1].error ?? error;
  const where = failed === undefined ? '' : ` in ${failed[0]}`;
  const text = why === null ? '' : `${where}: ${why.code}: ${printable(why.message, MAX_CHARS)}`;
  stderr.write(`expertwire: the run ${id} is ${state}${text} (expertwire jobs logs ${id})\n`);
  throw new ToldError();
}

/** What was given, as all commands of the job need it. @throws UsageError */
function paramsOf(given: readonly string[], job: Job): Readonly<Record<string, Json>> {
  const needed = neededParams(job);
  const params = Object.fromEntries(given.map((text) => paramOf(text, needed, job)));
  const missing = needed.find((name) => !Object.hasOwn(params, name));
  if (missing === undefined) return params;
  throw new UsageError(`${job.name} needs the parameter ${missing}; give --param ${missing}=VALUE`);
}

function paramOf(text: string, needed: readonly string[], job: Job): readonly [string, string] {
  const equals = text.indexOf('=');
  const name = text.slice(0, Math.max(equals, 0));
  if (name === '')
    throw new UsageError(`--param ${printable(text)} is not KEY=VALUE; write for example --param seed=7`);
  if (needed.includes(name)) return [name, text.slice(equals + 1)];
  const near = nearestName(name, needed);
  const advice = near === undefined ? `it takes ${needed.join(', ') || 'none'}` : `did you mean ${near}?`;
  throw new UsageError(`${job.name} has no parameter ${printable(name)}; ${advice}`);
}

const neededParams = ({ nodes }: Job): readonly string[] => {
  const texts = nodes.flatMap(({ work }) => (work.kind === 'command' ? work.args : []));
  const keys = texts
    .flatMap(placeholdersIn)
    .flatMap(({ name, key }) => (name === 'param' && key !== null ? [key] : []));
  return [...new Set(keys)];
};
