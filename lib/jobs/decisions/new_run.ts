/** A run as it is made of a job. Pure. */
import type { Job, Json } from '../base/job.js';
import type { Cause, JobRun, NodeRun, TaskError } from '../base/run.js';

/** What a run is made of. */
export interface Beginning {
  readonly id: string;
  readonly job: Job;
  readonly cause: Cause;
  readonly params: Readonly<Record<string, Json>>;
  readonly dueMs: number;
  readonly nowMs: number;
}

/** One that waits in line. */
export function newRun({ id, job, cause, params, dueMs, nowMs }: Beginning): JobRun {
  return {
    id,
    job,
    cause,
    params,
    state: 'queued',
    isStopping: false,
    dueMs,
    madeMs: nowMs,
    beganMs: null,
    endedMs: null,
    nodes: Object.fromEntries(job.nodes.map(({ name }) => [name, waitingNode(id)])),
    error: null,
    isSettled: false,
  };
}

/** One that goes on with what another one didn't do: the job, and what was given, are those of that one. Nodes that it did are kept. */
export function resumingRun(resumed: JobRun, { id, params, dueMs, nowMs }: Omit<Beginning, 'job' | 'cause'>): JobRun {
  const cause = { kind: 'resume', run: resumed.id } as const;
  const run = newRun({ id, job: resumed.job, cause, params: { ...resumed.params, ...params }, dueMs, nowMs });
  const nodes = Object.entries(run.nodes).map(([name, node]) => [name, keptOf(resumed.nodes[name]) ?? node] as const);
  return { ...run, nodes: Object.fromEntries(nodes) };
}

/** One that can't begin, and says why. Nothing follows of it. */
export const refusedRun = (run: JobRun, error: TaskError): JobRun => ({
  ...run,
  state: 'failed',
  error,
  endedMs: run.madeMs,
  isSettled: true,
});

const waitingNode = (of: string): NodeRun => ({
  state: 'waiting',
  shardTotal: null,
  of,
  beganMs: null,
  endedMs: null,
  error: null,
});

const keptOf = (node: NodeRun | undefined): NodeRun | null =>
  node?.state === 'succeeded' || node?.state === 'kept' ? { ...node, state: 'kept' } : null;
