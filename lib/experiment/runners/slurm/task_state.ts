/** What Slurm says of tasks of job arrays. Pure. */
import { printable } from '../../../../base/foreign_text.js';
import type { RunEnd } from '../../base/run.js';

/** A task of an array: its job's number, and its place in the array, from 0. */
export interface TaskId {
  readonly job: string;
  readonly index: number;
}

/** As Slurm's commands take it and squeue writes it. */
export const taskText = ({ job, index }: TaskId): string => `${job}_${index}`;

/** How a task stands. */
export interface TaskState {
  /** PENDING, RUNNING, COMPLETED, … as squeue and sacct write them. */
  readonly state: string;
  /** Why it waits, or failed: `Resources`, `NonZeroExitCode`. */
  readonly reason: string;
  /** Empty where it has none yet. */
  readonly node: string;
}

/** What squeue is asked for of each task. */
export const SQUEUE_FORMAT = '%F_%K|%T|%r|%N';

/** By {@link taskText}. */
export function statesOf(text: string): ReadonlyMap<string, TaskState> {
  const rows = text.split('\n').flatMap((line) => {
    const [task, state, reason, node] = line.trim().split('|');
    const isWhole = task !== undefined && state !== undefined && state !== '';
    return isWhole ? [[task, { state, reason: reason ?? '', node: node ?? '' }] as const] : [];
  });
  return new Map(rows);
}

/** States that a task doesn't leave; all others are on the way. */
const OVER: ReadonlySet<string> = new Set([
  ...['BOOT_FAIL', 'CANCELLED', 'COMPLETED', 'DEADLINE', 'FAILED', 'NODE_FAIL', 'OUT_OF_MEMORY', 'PREEMPTED'],
  ...['REVOKED', 'TIMEOUT'],
]);

/** Nothing of it runs any more, and nothing will. */
export const isOver = ({ state }: TaskState): boolean => OVER.has(state);

/** It waits for what never comes. */
export const isStuck = ({ state, reason }: TaskState): boolean =>
  state === 'PENDING' && /^(?:BadConstraints|DependencyNeverSatisfied|launch failed requeued held)$/.test(reason);

/** It came to its end by itself, so that its files are there, or come as soon as the folder's file system shows them. */
export const leavesEnd = ({ state }: TaskState): boolean => state === 'COMPLETED';

/** How a run ended that left nothing. `state` null: Slurm has forgotten it. */
export function endOfLost(id: TaskId, state: TaskState | null, timeoutMs: number): RunEnd {
  const task = `task ${taskText(id)}`;
  if (state === null)
    return failed(`Slurm no longer knows ${task}, and it left no result; run the same command with --retry-failed`);
  const where = state.node === '' ? '' : ` on ${printable(state.node)}`;
  if (state.state === 'TIMEOUT' || state.state === 'DEADLINE') {
    const message = `Slurm ended ${task}${where} at its time limit, before timeout_s (${timeoutMs / 1000} s); raise runner.time, or leave it out`;
    return { status: 'timed_out', error: { code: 'RUN_TIMED_OUT', message } };
  }
  const why = state.reason === '' || state.reason === 'None' ? '' : ` (${printable(state.reason)})`;
  return failed(`${task}${where} ended as ${printable(state.state)}${why} without a result; ${adviceFor(state.state)}`);
}

function adviceFor(state: string): string {
  switch (state) {
    case 'OUT_OF_MEMORY':
      return 'raise runner.memory';
    case 'NODE_FAIL':
    case 'BOOT_FAIL':
    case 'PREEMPTED':
      return 'set runner.requeue to true, or run the same command with --retry-failed';
    case 'CANCELLED':
      return 'somebody cancelled it: run the same command with --retry-failed';
    case 'PENDING':
      return 'look at partition, constraint, gres and dependency of the runner';
    default:
      return 'look whether that node sees the folder of results and this installation of expertwire, and into slurm.txt of the run';
  }
}

const failed = (message: string): RunEnd => ({ status: 'failed', error: { code: 'RUN_FAILED', message } });
