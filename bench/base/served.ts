/** A command that serves in a process of its own, and can be killed: `expertwire serve`, `cluster` or `route`. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { BenchError } from './errors.js';

const CLI = fileURLToPath(new URL('../../lib/cli.js', import.meta.url));
/** Of what it says last, for the report. */
const MAX_WORDS = 2048;
/** Nobody waits longer for a server that was asked to end and has nothing to do. */
const END_MS = 20_000;

/** How it is started. */
export interface ServedOrder {
  readonly command: 'serve' | 'cluster';
  /** Behind the command; it listens at any free port. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** Its owner kills or ends it. */
export class Served {
  url = '';
  private words = '';

  /** Serves. @throws BenchError PROCESS_DIED: it could not, and what it said */
  static async start({ command, args, env, signal }: ServedOrder): Promise<Served> {
    const child = spawn(process.execPath, ['--no-warnings', CLI, command, ...args, '--port', '0'], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
    const served = new Served(child, exited);
    try {
      await served.listen(signal);
      return served;
    } catch (error) {
      await served.kill();
      throw error;
    }
  }

  private constructor(
    private readonly child: ChildProcess,
    private readonly exited: Promise<void>,
  ) {
    child
      .stderr!.setEncoding('utf8')
      .on('data', (text: string) => (this.words = (this.words + text).slice(-MAX_WORDS)));
  }

  /** As when its machine's memory ran out. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  /** As its user ends it, who kills what doesn't. */
  async end(): Promise<void> {
    this.child.kill('SIGTERM');
    const impatience = setTimeout(() => this.child.kill('SIGKILL'), END_MS);
    await this.exited;
    clearTimeout(impatience);
  }

  private async listen(signal: AbortSignal): Promise<void> {
    const stdout = this.child.stdout!.setEncoding('utf8');
    let printed = '';
    const gone = this.exited.then(() => {
      throw new BenchError('PROCESS_DIED', `a server ended before it listened: ${this.words.trim()}`);
    });
    gone.catch(() => undefined);
    for (;;) {
      const [text] = (await Promise.race([once(stdout, 'data', { signal }), gone])) as [string];
      printed += text;
      const url = /^serving .*"\S+" at (\S+)\n/m.exec(printed)?.[1];
      if (url === undefined) continue;
      this.url = url;
      stdout.resume();
      return;
    }
  }
}
