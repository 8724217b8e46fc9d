/** Tables of jobs, runs, workers and dead tasks. Pure. */
import { printable } from '../../../base/foreign_text.js';
import { durationText } from '../../experiment/file/estimate.js';
import type { Job, JobNode, Trigger } from '../../jobs/base/job.js';
import type { DeadLetter, WorkerRecord } from '../../jobs/base/job_bus.js';
import type { JobRun } from '../../jobs/base/run.js';

const MAX_CHARS = 60;

/** In a line: 'nightly (cron 0 0 2 * * * UTC): main → sum' */
export const jobLine = ({ name, triggers, nodes }: Job): string =>
  `${name} (${triggers.map(triggerText).join(', ') || 'when it is asked for'}): ${nodes.map(nodeText).join(', ')}`;

const triggerText = (trigger: Trigger): string => {
  switch (trigger.kind) {
    case 'cron':
      return `cron ${trigger.cron} ${trigger.timezone}`;
    case 'every':
      return `every ${trigger.everyMs / 1000} s`;
    case 'after':
      return `after ${trigger.on} of ${trigger.job}`;
  }
};

function nodeText({ name, shards, work }: JobNode): string {
  const count =
    shards.kind === 'broadcast' ? 'one a worker' : shards.kind === 'each' ? shards.items.length : shards.count;
  return `${name} (${work.kind}${count === 1 ? '' : ` × ${count}`})`;
}

/** `lastOf`: the last run of a job. */
export function jobsText(jobs: readonly Job[], lastOf: (job: string) => JobRun | undefined): string {
  if (jobs.length === 0) return 'no jobs; expertwire jobs apply FILE brings some';
  const rows = jobs.map((job) => {
    const last = lastOf(job.name);
    const triggers = job.triggers.map(triggerText).join(', ') || '–';
    return [job.name, triggers, last?.id ?? '–', last === undefined ? '–' : stateText(last)];
  });
  return columns([['JOB', 'TRIGGERS', 'LAST RUN', 'STATE'], ...rows]);
}

/** The state, and which node or shard is to blame. */
const stateText = ({ state, isStopping }: JobRun): string => (isStopping && state === 'running' ? 'stopping' : state);

/** `nowMs`: for those that run. */
export function runsText(runs: readonly JobRun[], nowMs: number): string {
  if (runs.length === 0) return 'no runs; expertwire jobs run JOB begins one';
  const rows = runs.map((run) => {
    const took = run.beganMs === null ? '–' : durationText((run.endedMs ?? nowMs) - run.beganMs);
    const why = run.error === null ? '' : printable(`${run.error.code}: ${run.error.message}`, MAX_CHARS);
    return [run.id, stateText(run), new Date(run.dueMs).toISOString(), took, nodesText(run), why];
  });
  return columns([['RUN', 'STATE', 'DUE', 'TOOK', 'NODES', 'ERROR'], ...rows]);
}

/** '2/3 done' */
function nodesText({ nodes }: JobRun): string {
  const all = Object.values(nodes);
  const numDone = all.filter(({ state }) => state === 'succeeded' || state === 'kept').length;
  return `${numDone}/${all.length}`;
}

/** Nobody: what to do about it. */
export function workersText(workers: readonly WorkerRecord[], nowMs: number): string {
  if (workers.length === 0) return 'no worker is there; start one with expertwire worker';
  const rows = workers.map(({ id, host, pid, version, width, numRunning, startedMs }) => [
    ...[id, `${numRunning}/${width}`, printable(host), `${pid}`, version, durationText(nowMs - startedMs)],
  ]);
  return columns([['WORKER', 'RUNS', 'HOST', 'PROCESS', 'VERSION', 'SINCE'], ...rows]);
}

/** With the reason. */
export function deadText(letters: readonly DeadLetter[]): string {
  if (letters.length === 0) return 'no dead tasks';
  const rows = letters.map(({ task, reason, deliveries, atMs }) => [
    ...[
      `${task.key.run} ${task.key.node} ${task.key.index}`,
      new Date(atMs).toISOString(),
      `${deliveries}`,
      printable(reason),
    ],
  ]);
  return columns([['SHARD', 'AT', 'DELIVERIES', 'REASON'], ...rows]);
}

/** Left-aligned: they are names and texts. */
function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((text, column) => text.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
