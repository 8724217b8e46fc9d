/** Starts the client process, and asks it to ask. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { ServeBenchError } from '../serve/load/errors.js';
import type { ClientOrder, ClientReply } from './http_client_process.js';

/** A client in a process of its own. */
export class HttpClient {
  private readonly child: ChildProcess;

  constructor() {
    const file = fileURLToPath(new URL('http_client_process.js', import.meta.url));
    this.child = fork(file, [], { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  }

  /** When the tokens of each answer came. @throws ServeBenchError CLIENT_FAILED where a request failed, or the process ended */
  async ask(order: ClientOrder, signal: AbortSignal): Promise<readonly (readonly number[])[]> {
    const ended = new AbortController();
    const both = AbortSignal.any([signal, ended.signal]);
    const onExit = (): void =>
      ended.abort(new ServeBenchError('CLIENT_FAILED', 'the client process ended; run the benchmark again'));
    this.child.once('exit', onExit);
    try {
      this.child.send(order);
      const [reply] = (await once(this.child, 'message', { signal: both })) as [ClientReply];
      if ('failure' in reply)
        throw new ServeBenchError(
          'CLIENT_FAILED',
          `a request over HTTP failed (${reply.failure}); run the benchmark again`,
        );
      return reply.tokenMs;
    } finally {
      this.child.off('exit', onExit);
    }
  }

  /** Ends the process. Idempotent. */
  async close(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exit = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exit;
  }
}
