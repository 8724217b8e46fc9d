/** The process of one instance: `expertwire serve` with its own settings, heard from its start to its end. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { isInstanceNews, type InstanceNews } from './instance_news.js';

/** How the process of an instance ended. */
export interface InstanceExit {
  readonly pid: number | undefined;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** An instance that was started, of whatever kind. */
export interface StartedInstance {
  readonly pid: number | undefined;
  /** Null: it ended before it served. */
  readonly listening: Promise<InstanceNews | null>;
  /** Resolves after its last line was heard. Never rejects. */
  readonly exit: Promise<InstanceExit>;
  /** `SIGTERM` asks it to end, `SIGKILL` ends it. Nothing happens where it has ended. */
  kill(signal: NodeJS.Signals): void;
}

/** What its process is started with. */
export interface InstanceProcessOptions {
  /** Arguments of `expertwire serve`. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A line that it or one of its ranks wrote. */
  readonly onLine: (line: string) => void;
  /** What Node runs. Default: the command line of this package. */
  readonly program?: string;
}

const PROGRAM = fileURLToPath(new URL('../../cli.js', import.meta.url));

/** One that can't be started is like one that ended at once, and says why. Why: docs/decisions/cluster.md#an-instance-is-a-server-like-any-other */
export function startInstance({ args, env, onLine, program = PROGRAM }: InstanceProcessOptions): StartedInstance {
  const failed = (error: unknown): InstanceExit => {
    const why = error instanceof Error ? error.message : String(error);
    onLine(`its process can't be started (${why}); raise the limits of open files and processes, or free memory`);
    return { pid: undefined, code: 1, signal: null };
  };
  let child: ChildProcess;
  try {
    child = spawn(process.execPath, ['--no-warnings', program, 'serve', '--spawned', ...args], {
      env,
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'], // on its standard output it greets who started it by hand
    });
  } catch (error) {
    return {
      pid: undefined,
      listening: Promise.resolve(null),
      exit: Promise.resolve(failed(error)),
      kill: () => undefined,
    };
  }
  if (child.stderr) createInterface({ input: child.stderr }).on('line', onLine);
  const exit = new Promise<InstanceExit>((resolve) => {
    child.once('error', (error) => {
      if (child.pid === undefined) resolve(failed(error));
    });
    child.once('close', (code, signal) => resolve({ pid: child.pid, code, signal }));
  });
  const listening = new Promise<InstanceNews | null>((resolve) => {
    child.on('message', (message) => {
      if (isInstanceNews(message)) resolve(message);
    });
    void exit.then(() => resolve(null));
  });
  return { pid: child.pid, listening, exit, kill: (signal) => void child.kill(signal) };
}
