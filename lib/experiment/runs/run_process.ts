/** The process of one run, with all that it starts: one process group. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { causeText } from '../../../base/foreign_text.js';
import { markedProcesses, RUN_VARIABLE } from './marked_processes.js';
import { RUN_FILES } from './run_folder.js';

/** How a process ended. */
export interface ProcessExit {
  /** Null: a signal ended it, or it never began. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why it couldn't be started; null: it was. */
  readonly notStarted: string | null;
}

/** What is started, and where it writes. */
export interface RunProcessOptions {
  /** Arguments of Node. */
  readonly program: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Of the run: its log is there. */
  readonly folder: string;
  /** Where it runs. Default: where this process does. */
  readonly cwd?: string;
  /** File for what it prints. Default: the log, with all else that it says. */
  readonly output?: string;
}

/** A process that ends with this one: they are connected, and who loses the connection ends itself. */
export class RunProcess {
  private killing: NodeJS.Timeout | null = null;
  private hasEnded = false;

  private constructor(
    private readonly child: ChildProcess | null,
    private readonly exit: Promise<ProcessExit>,
    /** Of all that it starts. */
    private readonly mark: string,
  ) {}

  /** Starts it. What can't be started has ended. @throws what the file system throws where the log can't be written */
  static async start({ program, env, folder, cwd, output }: RunProcessOptions): Promise<RunProcess> {
    const mark = randomUUID();
    const log = await open(join(folder, RUN_FILES.log), 'w');
    const printed = output === undefined ? null : await open(output, 'w');
    try {
      const child = spawn(process.execPath, ['--no-warnings', ...program], {
        env: { ...env, [RUN_VARIABLE]: mark },
        cwd,
        detached: true,
        stdio: ['ignore', (printed ?? log).fd, log.fd, 'ipc'],
      });
      return new RunProcess(child, exitOf(child), mark);
    } catch (error) {
      return new RunProcess(null, Promise.resolve(failed(error)), mark);
    } finally {
      await printed?.close();
      await log.close();
    }
  }

  /** Asks it to end, and has it ended `graceMs` later. Asked again, or after its end, nothing happens. */
  stop(graceMs: number): void {
    if (this.killing !== null || this.hasEnded) return;
    this.child?.kill('SIGTERM');
    this.killing = setTimeout(() => this.signalGroup('SIGKILL'), graceMs);
  }

  /** Waits for its end. Then nothing that it started is left. */
  async ended(): Promise<ProcessExit> {
    const exit = await this.exit;
    this.hasEnded = true;
    if (this.killing !== null) clearTimeout(this.killing);
    await this.endAll();
    return exit;
  }

  /** Children that outlive it would disturb the next run. */
  private async endAll(): Promise<void> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const isGroupThere = this.signalGroup('SIGKILL');
      const others = await markedProcesses(this.mark);
      for (const pid of others) signalTo(pid, 'SIGKILL');
      if (!isGroupThere && others.length === 0) return;
      await delay(EACH_MS);
    }
  }

  /** False: nothing is left of it. */
  private signalGroup(signal: NodeJS.Signals): boolean {
    return this.child?.pid !== undefined && signalTo(-this.child.pid, signal);
  }
}

/** False: there is nobody. */
function signalTo(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

/** What was killed is gone after a moment, unless nobody asks how it ended. */
const MAX_TRIES = 100;
const EACH_MS = 10;

const exitOf = (child: ChildProcess): Promise<ProcessExit> =>
  new Promise((resolve) => {
    child.once('error', (error) => {
      if (child.pid === undefined) resolve(failed(error));
    });
    child.once('exit', (code, signal) => resolve({ code, signal, notStarted: null }));
  });

const failed = (error: unknown): ProcessExit => ({ code: null, signal: null, notStarted: causeText(error) });
