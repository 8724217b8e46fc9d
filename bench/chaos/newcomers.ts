/** Ranks that join from outside: `expertwire rank`, in processes of their own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { SECRET_VARIABLE } from '../../lib/commands/engine/engine_options.js';
import type { ExpertwireConfig } from '../../lib/config/schema.js';
import type { Address } from '../../comm/ws/door/dial.js';
import { signalTo } from './signals.js';

/** From the first signal to the end; then it is killed. */
const END_MS = 5000;
/** Of what one says last, for the report. */
const MAX_WORDS = 2048;

/** One that was started. */
export interface Newcomer {
  readonly child: ChildProcess;
  /** Resolves when its process ended, with its last words. */
  readonly ended: Promise<string>;
  /** Ends it and all that it started at once, as when its machine goes down. */
  readonly kill: () => void;
}

/** Starts ranks, and ends all that still run in the end. */
export class Newcomers {
  private readonly started: Newcomer[] = [];

  /** Of the job with this secret and these certificates. `env`: what their processes see besides. */
  constructor(
    private readonly secret: string,
    private readonly tls: ExpertwireConfig['comm']['tls'],
    private readonly env: Readonly<Record<string, string | undefined>>,
  ) {}

  /** One that looks for its head there. */
  start({ host, port }: Address): Newcomer {
    const cli = fileURLToPath(new URL('../../lib/cli.js', import.meta.url));
    const files = Object.entries(this.tls).flatMap(([name, file]) => (file === null ? [] : [`--tls-${name}`, file]));
    const args = ['rank', '--head', `${host}:${port}`, '--join-timeout', '30', ...files];
    const child = spawn(process.execPath, ['--no-warnings', cli, ...args], {
      env: { ...this.env, [SECRET_VARIABLE]: this.secret },
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true, // a group of its own, to be killed as one
    });
    let words = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (words = (words + text).slice(-MAX_WORDS)));
    const ended = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('close', () => resolve(words.trim()));
    });
    const newcomer = { child, ended, kill: () => killGroup(child) };
    this.started.push(newcomer);
    return newcomer;
  }

  /** As a launcher would: with SIGTERM, and by force where that takes too long. */
  async close(): Promise<void> {
    await Promise.all(this.started.map(end));
  }
}

async function end({ child, kill }: Newcomer): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(kill, END_MS);
  await exit.finally(() => clearTimeout(timer));
}

function killGroup({ pid }: ChildProcess): void {
  if (pid !== undefined) signalTo(-pid, 'SIGKILL');
}
