/** A real nats-server with JetStream, and what befalls it. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

/** That on the PATH; null where there is none of 2.12 or later. */
export async function natsServer(): Promise<string | null> {
  try {
    const { stdout } = await promisify(execFile)('nats-server', ['--version']);
    const [, major, minor] = /v(\d+)\.(\d+)/.exec(stdout) ?? [];
    return Number(major) > 2 || Number(minor) >= 12 ? 'nats-server' : null;
  } catch {
    return null;
  }
}

export interface NatsServerOptions {
  /** Further lines of its configuration. */
  readonly config?: string;
  readonly hasJetStream?: boolean;
}

/** One server, which may be killed and started anew at the same port. */
export class NatsServer {
  private constructor(
    private readonly dir: string,
    private launched: Launched,
  ) {}

  static async start({ config = '', hasJetStream = true }: NatsServerOptions = {}): Promise<NatsServer> {
    const dir = await mkdtemp(join(tmpdir(), 'expertwire-nats-'));
    const store = hasJetStream ? `jetstream { store_dir: ${JSON.stringify(join(dir, 'store'))} }` : '';
    await writeFile(join(dir, 'server.conf'), `${store}\n${config}\n`);
    return new NatsServer(dir, await launch(dir, -1));
  }

  get port(): number {
    return this.launched.port;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** It says something that matches. */
  async says(pattern: RegExp): Promise<void> {
    await this.launched.log.line(pattern);
  }

  /** What is in memory is gone. */
  async kill(): Promise<void> {
    const { child } = this.launched;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  /** At the same port. */
  async restart(): Promise<void> {
    await this.kill();
    this.launched = await launch(this.dir, this.port);
  }

  async close(): Promise<void> {
    await this.kill();
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** A server that listens, and what it logs. */
interface Launched {
  readonly child: ChildProcess;
  readonly port: number;
  readonly log: Log;
}

/** Lines as they come. */
class Log {
  private readonly lines: string[] = [];
  private readonly waiting: (() => void)[] = [];

  constructor(private readonly child: ChildProcess) {
    const wake = (): void => {
      for (const each of this.waiting.splice(0)) each();
    };
    createInterface(child.stderr!).on('line', (line) => {
      this.lines.push(line);
      wake();
    });
    child.once('exit', wake);
  }

  /** The first line that matches, as soon as it is there. */
  async line(pattern: RegExp): Promise<string> {
    for (;;) {
      const line = this.lines.find((each) => pattern.test(each));
      if (line !== undefined) return line;
      if (this.child.exitCode !== null) throw new Error(`nats-server ended: ${this.lines.join('\n')}`);
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }
}

/** Resolves when it listens; −1: at any port. */
async function launch(dir: string, port: number): Promise<Launched> {
  const args = ['-c', join(dir, 'server.conf'), '-a', '127.0.0.1', '-p', String(port)];
  const child = spawn('nats-server', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const log = new Log(child);
  await log.line(/Server is ready/);
  const listening = await log.line(/client connections on/);
  return { child, port: Number(/:(\d+)$/.exec(listening)![1]), log };
}
