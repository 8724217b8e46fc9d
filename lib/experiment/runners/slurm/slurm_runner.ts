/**
 * Runs as tasks of Slurm's job arrays: runs that are ready together are one array, whose tasks leave what came of them in their folders, which this machine sees too.
 * Why: docs/decisions/experiments.md#elsewhere-a-run-has-the-runner-of-its-machine-beside-it
 */
import { fileURLToPath } from 'node:url';
import { InternalError } from '../../../../base/coded_error.js';
import { ExperimentError } from '../../base/errors.js';
import type { RunEnd, Runner } from '../../base/run.js';
import type { SlurmSettings } from '../../base/runner.js';
import { endApart, forgetEnd } from '../../runs/apart.js';
import { clearRun } from '../../runs/run_folder.js';
import { arrayScript, sbatchArguments } from './array_script.js';
import { forgetHanded, handedTo, writeHanded } from './handed.js';
import { SlurmCommands, type Slurm } from './slurm.js';
import { Interrupted, jobName, patiently, submitted, type Patience } from './submitting.js';
import { endOfLost, isOver, isStuck, leavesEnd, taskText, type TaskId, type TaskState } from './task_state.js';

/** How runs are given to Slurm. */
export interface SlurmRunnerOptions {
  readonly settings: SlurmSettings;
  /** Runs at a time. */
  readonly parallel: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Runs that no task does any more have failed; otherwise they are put in line. Default false. */
  readonly isCollecting?: boolean;
  /** From being asked to end to being ended. Default 5000. */
  readonly graceMs?: number;
  /** Arguments of Node that begin `expertwire measure --apart`. Default: the command line of this package. */
  readonly program?: readonly string[];
  /** Default: Slurm's commands on the PATH. */
  readonly slurm?: Slurm;
  /** How long a controller that doesn't answer is waited for. Default ten minutes. */
  readonly patienceMs?: number;
  /** And once no run is wanted any more. Default 5000. */
  readonly lastMs?: number;
  /** What may be left in Slurm, in a line. */
  readonly onNotice?: (line: string) => void;
}

/** What begins `expertwire measure` on a node. */
export const APART = [fileURLToPath(new URL('../../../cli.js', import.meta.url)), 'measure', '--apart'];
const GRACE_MS = 5000;
/** Who wants to end waits no longer for a controller that doesn't answer. */
const LAST_MS = 5000;

/** Runs that are ready come one by one, each behind a write to the disk. */
const GATHER_MS = 250;
/** What a task wrote is seen elsewhere by then. */
const LAG_MS = 60_000;

/** A run that was asked for. */
interface Wanted {
  readonly folder: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly resolve: (end: RunEnd) => void;
  readonly reject: (reason: unknown) => void;
  /** Null: it waits here. */
  task: TaskId | null;
  /** Somebody else put it in line, before. */
  isFound: boolean;
  isCancelled: boolean;
  /** When it was found over without an end. */
  lostAtMs: number | null;
}

/** Gives runs to Slurm and looks what becomes of them. */
export class SlurmRunner implements Runner {
  readonly width: number;
  private readonly closing = new AbortController();
  private readonly wanted = new Set<Wanted>();
  private readonly slurm: Slurm;
  /** Aborted once no run is wanted any more. */
  private asking = new AbortController();
  private keeping: Promise<void> | null = null;
  private lastAddedMs = 0;
  private wake: () => void = () => undefined;

  constructor(private readonly options: SlurmRunnerOptions) {
    const { settings, env, slurm = new SlurmCommands(env) } = options;
    this.width = settings.max_array;
    this.slurm = slurm;
  }

  /** @throws `signal`'s reason; InternalError after {@link close}; ExperimentError RUNNER_FAILED; what the file system throws */
  async run(folder: string, timeoutMs: number, given: AbortSignal): Promise<RunEnd> {
    const signal = AbortSignal.any([given, this.closing.signal]);
    signal.throwIfAborted();
    const task = await handedTo(folder);
    if (task === null && this.options.isCollecting === true) return NEVER_HANDED;
    if (task === null) await forgetLast(folder);
    const end = new Promise<RunEnd>((resolve, reject) => {
      const state = { task, isFound: task !== null, isCancelled: false, lostAtMs: null };
      this.wanted.add({ folder, timeoutMs, signal, resolve, reject, ...state });
    });
    this.lastAddedMs = performance.now();
    if (this.asking.signal.aborted) this.asking = new AbortController();
    const look = (): void => {
      if (this.isUnwanted) this.asking.abort();
      this.wake();
    };
    signal.addEventListener('abort', look);
    this.keeping ??= this.keep();
    return end.finally(() => signal.removeEventListener('abort', look));
  }

  /** Ends what runs, whose {@link run} rejects. Idempotent. */
  async close(): Promise<void> {
    this.closing.abort(new InternalError('the runner of a run was closed'));
    await this.keeping;
  }

  private get pollMs(): number {
    return 1000 * this.options.settings.poll_s;
  }

  private get isUnwanted(): boolean {
    return [...this.wanted].every((each) => each.signal.aborted);
  }

  /** Of one question. */
  private get patience(): Patience {
    const { patienceMs, lastMs = LAST_MS } = this.options;
    if (this.isUnwanted) return { eachMs: Math.min(this.pollMs, 1000), signal: AbortSignal.timeout(lastMs) };
    return { eachMs: this.pollMs, patienceMs, signal: this.asking.signal };
  }

  /** As long as any run is wanted. What Slurm can't do any more ends all. */
  private async keep(): Promise<void> {
    try {
      while (this.wanted.size > 0) {
        const isLast = this.isUnwanted;
        await this.round().catch((error: unknown) => {
          if (isLast || !(error instanceof Interrupted)) throw error;
        });
      }
    } catch (error) {
      this.tellLeft();
      for (const each of this.wanted) each.reject(each.signal.aborted ? each.signal.reason : error);
      this.wanted.clear();
    } finally {
      this.keeping = null;
    }
  }

  private async round(): Promise<void> {
    const gatherMs = await this.submit();
    await this.nap(gatherMs ?? this.pollMs);
    await this.cancel();
    await this.look();
  }

  /** What nobody ended. */
  private tellLeft(): void {
    const left = [...this.wanted].filter(
      ({ task, isCancelled, signal }) => task !== null && !isCancelled && signal.aborted,
    );
    const jobs = [...new Set(left.map(({ task }) => task!.job))];
    if (jobs.length > 0) this.options.onNotice?.(leftText(`jobs ${jobs.join(', ')}`, jobs.join(' ')));
  }

  private nap(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const isWoken = [...this.wanted].some(({ signal, isCancelled }) => signal.aborted && !isCancelled);
      const timer = setTimeout(resolve, isWoken ? 0 : ms);
      this.wake = (): void => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** One array at a time, so that no more run than may. Returns how long to wait for more runs; null: there is nothing to gather. */
  private async submit(): Promise<number | null> {
    for (const each of this.wanted) if (each.task === null && each.signal.aborted) this.forget(each, abort(each));
    const all = [...this.wanted];
    const waiting = all.filter(({ task }) => task === null).slice(0, this.width);
    if (waiting.length === 0 || all.some(({ task, isFound }) => task !== null && !isFound)) return null;
    const quietMs = performance.now() - this.lastAddedMs;
    if (quietMs < GATHER_MS && waiting.length < this.width) return GATHER_MS - quietMs;
    await this.submitAll(waiting);
    return null;
  }

  private async submitAll(waiting: readonly Wanted[]): Promise<void> {
    const { settings, parallel: width, graceMs = GRACE_MS, program = APART } = this.options;
    const words = [process.execPath, '--no-warnings', ...program];
    const name = jobName();
    const array = {
      args: sbatchArguments(settings, name, waiting, { width, graceMs }),
      script: arrayScript(waiting, { words, graceMs }),
    };
    const job = await submitted(this.slurm, this.patience, () => array, name).catch((error: unknown) => {
      if (error instanceof Interrupted) return this.takenAs(name);
      throw error;
    });
    if (job === null) return;
    for (const [index, each] of waiting.entries()) each.task = { job, index };
    await Promise.all(waiting.map(({ folder, task }) => writeHanded(folder, task!)));
  }

  /** Whether Slurm took a job before nobody wanted it any more: it is to be cancelled then. @throws Interrupted where it doesn't say */
  private async takenAs(name: string): Promise<string | null> {
    try {
      const [job] = await this.ask((signal) => this.slurm.named(name, signal));
      return job ?? null;
    } catch (error) {
      this.options.onNotice?.(leftText(`a job called ${name}`, `--name=${name}`));
      throw error;
    }
  }

  private async cancel(): Promise<void> {
    const ended = [...this.wanted].filter(
      ({ task, isCancelled, signal }) => task !== null && !isCancelled && signal.aborted,
    );
    if (ended.length === 0) return;
    await this.ask((signal) =>
      this.slurm.cancel(
        ended.map(({ task }) => task!),
        signal,
      ),
    );
    for (const each of ended) each.isCancelled = true;
  }

  private async look(): Promise<void> {
    const handed = [...this.wanted].filter(({ task }) => task !== null);
    if (handed.length === 0) return;
    const jobs = [...new Set(handed.map(({ task }) => task!.job))];
    const states = await this.ask((signal) => this.slurm.states(jobs, signal));
    await Promise.all(handed.map((each) => this.settle(each, states.get(taskText(each.task!)) ?? null)));
  }

  /** Where its task is over. */
  private async settle(each: Wanted, state: TaskState | null): Promise<void> {
    const task = each.task!;
    if (state !== null && isStuck(state)) return this.giveUp(each, state);
    if (state !== null && !isOver(state)) return;
    const end = await endApart(each.folder);
    if (end === null && this.mayStillCome(each, state)) return;
    if (end === null && this.isForAnotherTry(each)) return this.tryAgain(each);
    await forgetHanded(each.folder);
    if (each.signal.aborted && end?.status !== 'ok') {
      this.forget(each, abort(each));
      return;
    }
    const found = end ?? endOfLost(task, state ?? (await this.accounted(task)), each.timeoutMs);
    this.forget(each, () => each.resolve(found));
  }

  /** What became of it while nobody looked isn't known, and it has no row yet. */
  private isForAnotherTry({ isFound, signal }: Wanted): boolean {
    return isFound && !signal.aborted && this.options.isCollecting !== true;
  }

  private async tryAgain(each: Wanted): Promise<void> {
    await forgetLast(each.folder);
    Object.assign(each, { task: null, isFound: false, lostAtMs: null });
  }

  /** A file system shows what another machine wrote a while later. */
  private mayStillCome(each: Wanted, state: TaskState | null): boolean {
    if (each.signal.aborted || (state !== null && !leavesEnd(state)) || (state === null && each.isFound)) return false;
    each.lostAtMs ??= performance.now();
    return performance.now() - each.lostAtMs < LAG_MS;
  }

  private accounted(task: TaskId): Promise<TaskState | null> {
    return this.ask((signal) => this.slurm.accounted(task, signal));
  }

  /** All others would wait for the same. */
  private async giveUp({ task }: Wanted, { reason }: TaskState): Promise<never> {
    const tasks = [...this.wanted].flatMap((each) => (each.task === null ? [] : [each.task]));
    await this.ask((signal) => this.slurm.cancel(tasks, signal));
    throw new ExperimentError(
      'RUNNER_FAILED',
      `task ${taskText(task!)} of Slurm would wait for ever (${reason}); look at partition, constraint, gres and dependency of the runner`,
    );
  }

  private ask<T>(question: (signal: AbortSignal | undefined) => Promise<T>): Promise<T> {
    const { patience } = this;
    return patiently(() => question(patience.signal), patience);
  }

  private forget(each: Wanted, tell: () => void): void {
    this.wanted.delete(each);
    tell();
  }
}

/** The file was changed after it was handed over. */
const NEVER_HANDED: RunEnd = {
  status: 'failed',
  error: {
    code: 'RUN_FAILED',
    message: 'Slurm was never given the run: the file was changed meanwhile; run the same command with --retry-failed',
  },
};

const leftText = (what: string, args: string): string =>
  `Slurm's controller doesn't answer: ${what} may be left there; end what is with scancel ${args} once it does`;

const abort =
  ({ reject, signal }: Wanted): (() => void) =>
  () =>
    reject(signal.reason);

/** Nothing of an earlier try is taken for this one's. @throws what the file system throws */
export async function forgetLast(folder: string): Promise<void> {
  await clearRun(folder);
  await forgetEnd(folder);
  await forgetHanded(folder);
}
