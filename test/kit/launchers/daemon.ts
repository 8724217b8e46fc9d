/** A program that serves in the foreground until it is killed. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** One that runs. */
export class Daemon {
  private readonly said: string[] = [];

  private constructor(
    private readonly child: ChildProcess,
    readonly name: string,
  ) {
    for (const stream of [child.stdout, child.stderr])
      stream!.setEncoding('utf8').on('data', (text: string) => this.said.push(text));
  }

  /** @throws where there is no such program */
  static async start(
    program: string,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<Daemon> {
    const { PATH = '', HOME = '' } = process.env;
    // Of a process group of its own: Ctrl-C in a terminal is for the tests, which end it then.
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: `${PATH}:/usr/sbin:/sbin`, HOME, ...env },
      detached: true,
    });
    await once(child, 'spawn');
    return new Daemon(child, program);
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** What it said until now. */
  get story(): string {
    return this.said.join('');
  }

  /** Resolves when it has ended. Idempotent. */
  async kill(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.hasEnded) return;
    const ended = once(this.child, 'exit');
    this.child.kill(signal);
    await ended;
  }
}
