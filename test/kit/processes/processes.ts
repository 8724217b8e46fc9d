/**
 * Real processes in tests, and proof that none of them stays behind: everything that a test starts carries a mark in its environment, which
 * children inherit, and /proc shows who has it.
 */
import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** Folder of the compiled code that these tests belong to. */
export const BUILD_DIR = fileURLToPath(new URL('../../..', import.meta.url));
export const CLI = fileURLToPath(new URL('../../../lib/cli.js', import.meta.url));

const MARK = 'TEST_PROCESSES_OF';
/** Longest wait for something that should take a moment; a test that needs more of it fails. */
const PATIENCE_MS = 45_000;
const POLL_MS = 20;

export interface RunOptions {
  /** Laid over a plain environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** For Node itself, where it is what is started. */
  readonly nodeArgs?: readonly string[];
  /** Standard input is a pipe, which {@link Running.types} writes to. Default: there is none. */
  readonly hasInput?: boolean;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** `performance.now()` at its end. */
  readonly atMs: number;
}

export interface FoundProcess {
  readonly pid: number;
  readonly argv: readonly string[];
}

/** The processes of one test file. */
export class Processes {
  private readonly id = randomUUID();

  /** Starts a command in a process group of its own, as a terminal does. */
  start(command: string, args: readonly string[], { env = {}, cwd, hasInput = false }: RunOptions = {}): Running {
    const { PATH = '', HOME = '' } = process.env;
    const child = spawn(command, args, {
      detached: true,
      stdio: [hasInput ? 'pipe' : 'ignore', 'pipe', 'pipe'],
      env: { PATH, HOME, ...env, [MARK]: this.id },
      ...(cwd !== undefined && { cwd }),
    });
    return new Running(child);
  }

  /** Starts `expertwire …`. */
  cli(args: readonly string[], options: RunOptions = {}): Running {
    return this.start(process.execPath, ['--no-warnings', ...(options.nodeArgs ?? []), CLI, ...args], options);
  }

  /** Marks this process, so that what the code under test spawns from here is found too. */
  markThisProcess(): void {
    process.env[MARK] = this.id;
  }

  /** All that run, whoever started them. */
  running(): FoundProcess[] {
    return pids().flatMap((pid) => {
      const environment = procFile(pid, 'environ');
      return environment.includes(`${MARK}=${this.id}`) ? [{ pid, argv: procFile(pid, 'cmdline') }] : [];
    });
  }

  /** The process of a rank. */
  rank(rank: number): FoundProcess {
    const found = this.running().filter(
      ({ argv }) => argv.includes('--spawned') && argv[argv.indexOf('--rank') + 1] === `${rank}`,
    );
    expect(found, `processes of rank ${rank}`).to.have.length(1);
    return found[0]!;
  }

  /** Waits until nothing runs any more; returns when that was. */
  async allGone(): Promise<number> {
    await until(
      () => this.running().length === 0,
      () => `still running: ${JSON.stringify(this.running())}`,
    );
    return performance.now();
  }

  /** For `afterEach`: nothing may run any more; what does is killed and fails the test. */
  readonly expectNone = (): void => {
    const left = this.running();
    for (const { pid } of left) kill(pid, 'SIGKILL');
    expect(left, 'processes left behind').to.deep.equal([]);
  };
}

/** One started process. */
export class Running {
  readonly pid: number;
  readonly ended: Promise<Ended>;
  private readonly output = { stdout: '', stderr: '' };
  private isOver = false;

  constructor(private readonly child: ChildProcess) {
    this.pid = child.pid!;
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream]!.setEncoding('utf8').on('data', (text: string) => (this.output[stream] += text));
    }
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        this.isOver = true;
        resolve({ code, signal, ...this.output, atMs: performance.now() });
      });
    });
  }

  get stdout(): string {
    return this.output.stdout;
  }

  get stderr(): string {
    return this.output.stderr;
  }

  /** Waits for text on standard output. */
  prints(text: string | RegExp): Promise<void> {
    return this.shows('stdout', text);
  }

  /** Waits for text on standard error. */
  warns(text: string | RegExp): Promise<void> {
    return this.shows('stderr', text);
  }

  private async shows(stream: 'stdout' | 'stderr', text: string | RegExp): Promise<void> {
    const isThere = (): boolean =>
      typeof text === 'string' ? this.output[stream].includes(text) : text.test(this.output[stream]);
    const story = (): string => `${String(text)} was not printed; stdout: ${this.stdout}\nstderr: ${this.stderr}`;
    await until(() => isThere() || this.isOver, story);
    if (!isThere()) expect.fail(story());
  }

  /** Writes to its standard input. */
  types(text: string): void {
    this.child.stdin!.write(text);
  }

  /** Its standard input has no more. */
  endInput(): void {
    this.child.stdin!.end();
  }

  /** Signals the process alone; returns when. */
  signal(signal: NodeJS.Signals): number {
    kill(this.pid, signal);
    return performance.now();
  }

  /** Signals its whole group, as Ctrl-C in a terminal does; returns when. */
  signalGroup(signal: NodeJS.Signals): number {
    kill(-this.pid, signal);
    return performance.now();
  }

  /** Stops reading, as `| head` does. */
  closeStdout(): void {
    this.child.stdout!.destroy();
  }
}

/** Waits for a condition that another process brings about. */
export async function until(isTrue: () => boolean, story: () => string): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!isTrue()) {
    if (performance.now() > end) expect.fail(story());
    await delay(POLL_MS);
  }
}

/** What goes by the clock of an outside program can't be played: resolves once it shows this time, of the Unix epoch. */
export const clockPasses = (atMs: number): Promise<void> =>
  until(
    () => Date.now() > atMs,
    () => `the clock does not come to ${new Date(atMs).toISOString()}`,
  );

/** Sends a signal; a process that is gone already is no error. */
export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** The last line that isn't empty. */
export const lastLine = (text: string): string => text.trimEnd().split('\n').at(-1)!;

const pids = (): number[] => readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));

/** A file of NUL-terminated strings; empty for a process that just ended. */
function procFile(pid: number, name: 'environ' | 'cmdline'): string[] {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8').split('\0').slice(0, -1);
  } catch {
    return [];
  }
}

/** What a head that waits for ranks elsewhere, a rank that joins one, and whoever tries the kernels of a busy machine say first: no more than that is expected of any. */
export const withoutNews = (stderr: string): string =>
  stderr.replace(
    /^(?:waiting at|ranks join at|joining the job at|joined as rank|(?:warning: )?trying the kernels,) .*\n/gm,
    '',
  );
