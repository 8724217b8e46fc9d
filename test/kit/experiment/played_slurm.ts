/** A cluster of Slurm in this process: tasks are processes of this machine, and everything that befalls them is said by the test. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Unreachable, type Slurm } from '../../../lib/experiment/runners/slurm/slurm.js';
import { taskText, type TaskId, type TaskState } from '../../../lib/experiment/runners/slurm/task_state.js';

interface PlayedTask {
  readonly id: TaskId;
  readonly script: string;
  readonly width: number;
  state: string;
  reason: string;
  child: ChildProcess | null;
}

/** What Slurm does of itself with arrays of one node. */
export class PlayedSlurm implements Slurm {
  /** Arguments of each job that was taken, in their order. */
  readonly submissions: (readonly string[])[] = [];
  /** Tasks that were cancelled. */
  readonly cancelled: string[] = [];
  /** At most. */
  mostAtOnce = 0;
  /** Nothing begins. */
  isHeld = false;
  /** So many questions that nobody answers, from now on. */
  numUnanswered = 0;
  /** Questions so far. */
  numAsked = 0;
  /** The next job is taken, and its answer is lost. */
  losesAnswer = false;
  /** Accounts are kept of tasks that were forgotten. */
  accounts: TaskState | null = null;
  private readonly tasks = new Map<string, PlayedTask>();
  private readonly names = new Map<string, string>();

  constructor(private readonly env: Readonly<Record<string, string | undefined>>) {}

  async submit(args: readonly string[], script: string): Promise<string> {
    this.answer();
    this.submissions.push(args);
    const job = `${100 + this.submissions.length}`;
    const [, last, width] = /--array=0-(\d+)%(\d+)/.exec(args.join(' ')) ?? ['', '0', '1'];
    this.names.set(/--job-name=(\S+)/.exec(args.join(' '))![1]!, job);
    for (let index = 0; index <= Number(last); index++) {
      const id = { job, index };
      const task = { id, script, width: Number(width), state: 'PENDING', reason: 'Priority', child: null };
      this.tasks.set(taskText(id), task);
    }
    this.begin();
    if (!this.losesAnswer) return Promise.resolve(job);
    this.losesAnswer = false;
    throw new Unreachable('Socket timed out on send/recv operation');
  }

  async named(name: string): Promise<readonly string[]> {
    this.answer();
    return Promise.resolve([this.names.get(name)].filter((job) => job !== undefined));
  }

  async states(jobs: readonly string[]): Promise<ReadonlyMap<string, TaskState>> {
    this.answer();
    const known = [...this.tasks].filter(([, { id }]) => jobs.includes(id.job));
    return Promise.resolve(new Map(known.map(([key, { state, reason }]) => [key, { state, reason, node: 'node1' }])));
  }

  accounted(): Promise<TaskState | null> {
    return Promise.resolve(this.accounts);
  }

  async cancel(tasks: readonly TaskId[]): Promise<void> {
    this.answer();
    for (const id of tasks) {
      const task = this.tasks.get(taskText(id));
      if (task === undefined || !['PENDING', 'RUNNING'].includes(task.state)) continue;
      this.cancelled.push(taskText(id));
      if (task.child === null) task.state = 'CANCELLED';
      else this.end(task, 'CANCELLED', 'SIGTERM');
    }
    return Promise.resolve();
  }

  /** What waits begins. */
  release(): void {
    this.isHeld = false;
    this.begin();
  }

  /** What waits does so for another reason. */
  waitsFor(reason: string): void {
    for (const task of this.tasks.values()) if (task.state === 'PENDING') task.reason = reason;
  }

  /** All that run end so, and the cluster puts them in line again where `state` is PENDING. */
  async strike(state: string): Promise<void> {
    const running = [...this.tasks.values()].filter(({ child }) => child !== null);
    const ends = running.map(async (task) => {
      const ended = once(task.child!, 'exit');
      this.end(task, state, 'SIGTERM');
      await ended;
    });
    await Promise.all(ends);
  }

  /** It never heard of any. */
  forget(): void {
    this.tasks.clear();
  }

  private answer(): void {
    this.numAsked++;
    if (this.numUnanswered === 0) return;
    this.numUnanswered--;
    throw new Unreachable('Unable to contact slurm controller (connect failure)');
  }

  private begin(): void {
    if (this.isHeld) return;
    for (const task of this.tasks.values()) {
      const numRunning = [...this.tasks.values()].filter(({ id, child }) => id.job === task.id.job && child !== null);
      if (task.state === 'PENDING' && numRunning.length < task.width) this.start(task);
    }
    const atOnce = [...this.tasks.values()].filter(({ child }) => child !== null).length;
    this.mostAtOnce = Math.max(this.mostAtOnce, atOnce);
  }

  private start(task: PlayedTask): void {
    const env = { ...this.env, SLURM_ARRAY_TASK_ID: `${task.id.index}` };
    const child = spawn('sh', ['-c', task.script], { env, stdio: 'ignore' });
    Object.assign(task, { state: 'RUNNING', reason: 'None', child });
    child.once('exit', (code) => {
      task.child = null;
      if (task.state === 'RUNNING' || task.state === 'COMPLETING')
        Object.assign(task, code === 0 ? { state: 'COMPLETED' } : { state: 'FAILED', reason: 'NonZeroExitCode' });
      this.begin();
    });
  }

  /** It is so when its process is no more. */
  private end(task: PlayedTask, state: string, signal: NodeJS.Signals): void {
    const child = task.child!;
    task.state = 'COMPLETING';
    child.prependOnceListener('exit', () => (task.state = state));
    child.kill(signal);
  }
}
