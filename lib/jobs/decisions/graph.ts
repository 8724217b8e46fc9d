/**
 * How a run goes on: which nodes begin, end and are skipped, and when it is over. Pure.
 * Why: docs/decisions/jobs.md#who-leads-decides-and-a-stale-leader-writes-nothing
 */
import { ENDED, type JobRun, type NodeRun, type NodeState, type TaskError } from '../base/run.js';
import { shardTotalOf } from './shards.js';

/** What is known of a node's shards. */
export interface Tally {
  readonly numDone: number;
  readonly numFailed: number;
  readonly numStopped: number;
  /** Of those that failed or were stopped, the first one. */
  readonly error: TaskError | null;
}

/** What a run's next state stands on. */
export interface Facts {
  readonly nowMs: number;
  /** Workers that live. */
  readonly numWorkers: number;
  readonly tallyOf: (node: string) => Tally;
}

/** The run, begun. */
export const begun = (run: JobRun, nowMs: number): JobRun => ({ ...run, state: 'running', beganMs: nowMs });

/** The run, which is to end. One that waits has ended. */
export const stopping = (run: JobRun, error: TaskError, nowMs: number): JobRun =>
  run.state === 'queued'
    ? { ...run, state: 'stopped', isStopping: true, error, endedMs: nowMs, nodes: stoppedNodes(run, nowMs) }
    : { ...run, isStopping: true, error: run.error ?? error };

/** A run that waits, which another one makes needless. */
export const discarded = (run: JobRun, error: TaskError, nowMs: number): JobRun => ({
  ...run,
  state: 'discarded',
  error,
  endedMs: nowMs,
  isSettled: true,
});

/** When a run is to be over; ∞: it may take as long as it likes. */
export const deadlineOf = ({ job, beganMs, isStopping }: JobRun): number =>
  job.timeoutMs === null || beganMs === null || isStopping ? Infinity : beganMs + job.timeoutMs;

/** Whether a node's shards are out: in line, in hand, or being put there. */
export const isOut = ({ state, shardTotal }: NodeRun): boolean =>
  (state === 'waiting' && shardTotal !== null) || state === 'running';

/** The run as it is next; the same object: nothing is to be done. Nodes that begin are `waiting` with a `shardTotal`: their shards are to be put in line. */
export function advanced(run: JobRun, facts: Facts): JobRun {
  if (run.state !== 'running') return run;
  let next = timedOut(run, facts.nowMs);
  for (let before: JobRun | null = null; before !== next;) {
    before = next;
    for (const { name } of run.job.nodes) next = withNode(next, name, nodeAdvanced(next, name, facts));
  }
  return finished(next, facts.nowMs);
}

/** The run with another state of a node; the same object where it is the same. */
export const withNode = (run: JobRun, name: string, node: NodeRun): JobRun =>
  run.nodes[name] === node ? run : { ...run, nodes: { ...run.nodes, [name]: node } };

function timedOut(run: JobRun, nowMs: number): JobRun {
  if (nowMs < deadlineOf(run)) return run;
  const message = `it took longer than the job's ${run.job.timeoutMs ?? 0} ms; give it more (timeout), or cut it into more shards`;
  return stopping(run, { code: 'TASK_TIMED_OUT', message }, nowMs);
}

function nodeAdvanced(run: JobRun, name: string, facts: Facts): NodeRun {
  const node = run.nodes[name]!;
  if (isOut(node)) return tallied(node, facts.tallyOf(name), facts.nowMs);
  if (node.state !== 'waiting') return node;
  if (run.isStopping) return { ...node, state: 'stopped', endedMs: facts.nowMs };
  const { needs } = run.job.nodes.find((one) => one.name === name)!;
  const states = needs.map((need) => run.nodes[need]!.state);
  if (states.some((state) => FAILED.has(state))) return { ...node, state: 'skipped', endedMs: facts.nowMs };
  return states.every((state) => SUCCEEDED.has(state)) ? beginning(run, name, facts) : node;
}

/** With how many shards it begins; the same where that can't be said yet. */
function beginning(run: JobRun, name: string, { nowMs, numWorkers }: Facts): NodeRun {
  const node = run.nodes[name]!;
  const shardTotal = shardTotalOf(
    run.job.nodes.find((one) => one.name === name)!,
    numWorkers,
  );
  return shardTotal === null ? node : { ...node, shardTotal, beganMs: nowMs };
}

function tallied(node: NodeRun, { numDone, numFailed, numStopped, error }: Tally, nowMs: number): NodeRun {
  if (numDone + numFailed + numStopped < node.shardTotal!) return node;
  if (numFailed > 0) return { ...node, state: 'failed', error, endedMs: nowMs };
  return numStopped > 0
    ? { ...node, state: 'stopped', error, endedMs: nowMs }
    : { ...node, state: 'succeeded', endedMs: nowMs };
}

/** The run, ended, where all of its nodes are. */
function finished(run: JobRun, nowMs: number): JobRun {
  const nodes = run.job.nodes.map(({ name }) => run.nodes[name]!);
  if (nodes.some(({ state }) => state === 'waiting' || state === 'running')) return run;
  if (nodes.every(({ state }) => SUCCEEDED.has(state))) {
    return { ...run, state: 'succeeded', isStopping: false, error: null, endedMs: nowMs };
  }
  const error = run.error ?? nodes.find(({ state }) => state === 'failed')?.error ?? null;
  const state = !run.isStopping ? 'failed' : run.error?.code === 'TASK_TIMED_OUT' ? 'timed_out' : 'stopped';
  return { ...run, state, error, endedMs: nowMs };
}

const stoppedNodes = (run: JobRun, nowMs: number): JobRun['nodes'] =>
  Object.fromEntries(
    Object.entries(run.nodes).map(([name, node]) => [
      name,
      node.state === 'waiting' ? { ...node, state: 'stopped', endedMs: nowMs } : node,
    ]),
  );

const SUCCEEDED: ReadonlySet<NodeState> = new Set(['succeeded', 'kept']);
const FAILED: ReadonlySet<NodeState> = new Set(['failed', 'skipped', 'stopped']);

/** Whether it goes on no more. */
export const hasEnded = ({ state }: JobRun): boolean => ENDED.has(state);
