/** A process that does what a benchmark tells it, so that its work isn't that of who measures. Ends with who started it. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { BenchError } from './errors.js';

/** Nobody waits longer for a process that was asked to end. */
const END_MS = 20_000;

/** Answers one order after the other, each with one message. */
export class HelperProcess<Order extends object, News extends object> {
  private readonly child: ChildProcess;

  /** @param module the compiled file that it runs @param onLine what it writes to its standard error; default: this process's own has it */
  constructor(
    module: URL,
    private readonly signal: AbortSignal,
    onLine?: (line: string) => void,
  ) {
    this.child = fork(fileURLToPath(module), {
      execArgv: ['--no-warnings'],
      stdio: ['ignore', 'ignore', onLine === undefined ? 'inherit' : 'pipe', 'ipc'],
    });
    if (onLine !== undefined) createInterface({ input: this.child.stderr! }).on('line', onLine);
  }

  /** What it answers. One at a time. @throws BenchError PROCESS_DIED; the signal's reason */
  async ask(order: Order): Promise<News> {
    const over = new AbortController();
    const waiting = { signal: AbortSignal.any([this.signal, over.signal]) };
    const died = once(this.child, 'exit', waiting).then(() => {
      throw new BenchError('PROCESS_DIED', 'a process of the benchmark ended; look at what it wrote, and run it again');
    });
    died.catch(() => undefined);
    try {
      this.child.send(order);
      const [news] = (await Promise.race([once(this.child, 'message', waiting), died])) as [News];
      return news;
    } finally {
      over.abort();
    }
  }

  /** Idempotent. */
  async close(): Promise<void> {
    if (this.isGone) return;
    const exit = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exit;
  }

  /** Lets it end what it started, by SIGTERM; by force where that takes too long. Idempotent. */
  async end(): Promise<void> {
    if (this.isGone) return;
    const exit = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    const impatience = setTimeout(() => this.child.kill('SIGKILL'), END_MS);
    await exit.finally(() => clearTimeout(impatience));
  }

  private get isGone(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }
}

/** What such a process does: `act` answers each order. */
export function obey(act: (order: never) => Promise<object> | object): void {
  process.on('message', (order) => void Promise.resolve(act(order as never)).then((news) => process.send!(news)));
  process.on('disconnect', () => process.kill(process.pid)); // whatever listens yet
}
