/** Slurm's commands: what they are asked, and what becomes of their complaints. */
import { execFile } from 'node:child_process';
import { causeText, printable } from '../../../../base/foreign_text.js';
import { ExperimentError } from '../../base/errors.js';
import { SQUEUE_FORMAT, statesOf, taskText, type TaskId, type TaskState } from './task_state.js';

/** What Slurm is asked; a controller that can't be reached rejects with {@link Unreachable}, and so does what a signal breaks off. */
export interface Slurm {
  /** Puts a job in line and gives its number. @throws ExperimentError RUNNER_FAILED where Slurm refuses */
  submit(args: readonly string[], script: string, signal?: AbortSignal): Promise<string>;
  /** Jobs of that name, by number. */
  named(name: string, signal?: AbortSignal): Promise<readonly string[]>;
  /** All tasks of jobs that Slurm still knows, by {@link taskText}. */
  states(jobs: readonly string[], signal?: AbortSignal): Promise<ReadonlyMap<string, TaskState>>;
  /** Of the accounts, where there are any: how a task ended that the controller has forgotten. */
  accounted(task: TaskId, signal?: AbortSignal): Promise<TaskState | null>;
  /** Ends tasks, those that wait too. */
  cancel(tasks: readonly TaskId[], signal?: AbortSignal): Promise<void>;
}

/** The controller doesn't answer, for now. */
export class Unreachable extends Error {}

/** Slurm as its commands on the PATH reach it. */
export class SlurmCommands implements Slurm {
  private readonly env: Readonly<Record<string, string | undefined>>;

  constructor(env: Readonly<Record<string, string | undefined>>) {
    // What a job of Slurm that this process may be in was given isn't for others.
    const kept = Object.entries(env).filter(([key]) => !key.startsWith('SLURM_') || OF_CLUSTER.has(key));
    this.env = Object.fromEntries(kept);
  }

  async submit(args: readonly string[], script: string, signal?: AbortSignal): Promise<string> {
    const { code, stdout, stderr } = await this.command('sbatch', args, { input: script, signal });
    const job = /^(\d+)(?:;|$)/.exec(stdout.trim())?.[1];
    if (code === 0 && job !== undefined) return job;
    const why = printable(complaintIn(stderr) || stdout.trim(), MAX_CHARS);
    throw new ExperimentError('RUNNER_FAILED', `Slurm takes no job ("${why}"); ${adviceFor(stderr)}`);
  }

  async named(name: string, signal?: AbortSignal): Promise<readonly string[]> {
    const text = await this.asked('squeue', ['--noheader', `--name=${name}`, '--format=%F'], signal);
    return [...new Set(text.split('\n').map((line) => line.trim()))].filter((line) => line !== '');
  }

  async states(jobs: readonly string[], signal?: AbortSignal): Promise<ReadonlyMap<string, TaskState>> {
    const args = ['--noheader', '--array', '--states=all', `--jobs=${jobs.join(',')}`, `--format=${SQUEUE_FORMAT}`];
    return statesOf(await this.asked('squeue', args, signal));
  }

  async accounted(task: TaskId, signal?: AbortSignal): Promise<TaskState | null> {
    const args = ['--noheader', '--parsable2', '--allocations', `--jobs=${taskText(task)}`];
    const { code, stdout } = await this.command('sacct', [...args, '--format=State,NodeList'], { signal });
    const [state = '', node = ''] = stdout.split('\n')[0]!.trim().split('|');
    const [word = ''] = state.split(' '); // CANCELLED by 1000
    return code !== 0 || word === '' ? null : { state: word, reason: '', node };
  }

  async cancel(tasks: readonly TaskId[], signal?: AbortSignal): Promise<void> {
    await this.asked('scancel', ['--quiet', ...tasks.map(taskText)], signal);
  }

  /** What a command prints; of jobs that are no more: nothing. */
  private async asked(name: string, args: readonly string[], signal?: AbortSignal): Promise<string> {
    const { code, stdout, stderr } = await this.command(name, args, { signal });
    if (code === 0 || /Invalid job id|already completing or completed/i.test(stderr)) return stdout;
    const why = printable(complaintIn(stderr), MAX_CHARS);
    throw new ExperimentError('RUNNER_FAILED', `${name} refuses ("${why}"); look at the cluster's state with sinfo`);
  }

  /** @throws Unreachable; ExperimentError RUNNER_FAILED where there is no such program */
  private command(name: string, args: readonly string[], { input = '', signal }: Asking): Promise<Said> {
    return new Promise((resolve, reject) => {
      const options = { env: this.env, maxBuffer: MAX_OUTPUT_BYTES, timeout: TIMEOUT_MS, signal };
      const child = execFile(name, args, options, (error, stdout, stderr) => {
        const code = error === null ? 0 : error.code;
        if (error?.killed === true || signal?.aborted === true || UNREACHABLE.test(stderr))
          reject(new Unreachable(complaintIn(stderr) || `${name} doesn't answer`));
        else if (typeof code === 'number') resolve({ code, stdout, stderr });
        else if (name === 'sacct')
          resolve({ code: 1, stdout, stderr }); // many clusters have no accounts
        else reject(noProgram(name, error));
      });
      child.stdin?.on('error', () => undefined); // it says why it didn't read
      child.stdin?.end(input);
    });
  }
}

interface Asking {
  readonly input?: string;
  readonly signal?: AbortSignal | undefined;
}

interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const OF_CLUSTER: ReadonlySet<string> = new Set(['SLURM_CONF', 'SLURM_CLUSTERS', 'SLURM_TIME_FORMAT']);
const TIMEOUT_MS = 60_000;
const MAX_OUTPUT_BYTES = 2 ** 26;
const MAX_CHARS = 300;
const UNREACHABLE =
  /Unable to contact slurm controller|Socket timed out|Connection refused|Zero Bytes were transmitted|Slurm backup controller in standby|temporarily unable to accept|Resource temporarily unavailable/i;

/** The last line that says anything, without who says it. */
const complaintIn = (stderr: string): string =>
  (stderr.trim().split('\n').at(-1) ?? '').replace(/^\w+: (?:error|fatal): /, '');

const noProgram = (name: string, cause: unknown): ExperimentError =>
  new ExperimentError(
    'RUNNER_FAILED',
    `${name} can't be started (${causeText(cause)}); run this where Slurm's commands are, such as a login node`,
    { cause },
  );

function adviceFor(stderr: string): string {
  if (/Invalid job array/i.test(stderr)) return 'lower runner.max_array below MaxArraySize of the cluster';
  if (/partition/i.test(stderr)) return 'look at runner.partition, and at sinfo';
  if (/account|qos|policy|limit/i.test(stderr)) return 'look at account, qos, parallel and max_array of the runner';
  return 'look at the settings of the runner';
}
