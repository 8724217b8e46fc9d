/** Runs on this machine: each a process group of its own, so that whatever it started can be ended with it. */
import { fileURLToPath } from 'node:url';
import { InternalError } from '../../../base/coded_error.js';
import type { RunEnd, Runner } from '../base/run.js';
import { clearRun } from './run_folder.js';
import { endOf } from './run_end.js';
import { RunProcess } from './run_process.js';

/** How runs are started. */
export interface LocalRunnerOptions {
  /** Runs at a time. Default 1. */
  readonly width?: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** From being asked to end to being ended. Default 5000. */
  readonly graceMs?: number;
  /** Arguments of Node that begin `expertwire measure`. Default: the command line of this package. */
  readonly program?: readonly string[];
}

const PROGRAM = [fileURLToPath(new URL('../../cli.js', import.meta.url)), 'measure', '--spawned'];
const GRACE_MS = 5000;

/** Starts `expertwire measure` on each folder. */
export class LocalRunner implements Runner {
  readonly width: number;
  private readonly closing = new AbortController();
  private readonly running = new Set<Promise<unknown>>();

  constructor(private readonly options: LocalRunnerOptions) {
    this.width = options.width ?? 1;
  }

  /** @throws `signal`'s reason; InternalError after {@link close}; what the file system throws where the folder can't be written */
  async run(folder: string, timeoutMs: number, signal: AbortSignal): Promise<RunEnd> {
    const run = this.runOnce(folder, timeoutMs, AbortSignal.any([signal, this.closing.signal]));
    const over = run.catch(() => undefined);
    this.running.add(over);
    try {
      return await run;
    } finally {
      this.running.delete(over);
    }
  }

  /** Ends what runs, whose {@link run} rejects. Idempotent. */
  async close(): Promise<void> {
    this.closing.abort(new InternalError('the runner of a run was closed'));
    await Promise.all(this.running);
  }

  private async runOnce(folder: string, timeoutMs: number, signal: AbortSignal): Promise<RunEnd> {
    const { program = PROGRAM, env, graceMs = GRACE_MS } = this.options;
    signal.throwIfAborted();
    await clearRun(folder);
    const child = await RunProcess.start({ program: [...program, folder], env, folder });
    const late = new AbortController();
    late.signal.addEventListener('abort', () => child.stop(graceMs));
    const timer = setTimeout(() => late.abort(), Math.min(timeoutMs, MAX_TIMER_MS));
    const forget = onAbort(signal, () => child.stop(graceMs));
    const exit = await child.ended();
    clearTimeout(timer);
    forget();
    const end = await endOf(folder, exit, late.signal.aborted ? timeoutMs : null);
    if (end.status !== 'ok') signal.throwIfAborted();
    return end;
  }
}

/** Calls `act` once the signal is aborted, at once where it is. Returns how to stop that. */
function onAbort(signal: AbortSignal, act: () => void): () => void {
  if (signal.aborted) act();
  else signal.addEventListener('abort', act);
  return () => signal.removeEventListener('abort', act);
}

/** More than that Node takes for none. */
const MAX_TIMER_MS = 2 ** 31 - 1;
