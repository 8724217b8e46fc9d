/** The ssh of one host: its ranks' words, and their end. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

/** How the ssh of a host ended. */
export interface HostEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The last line that came; empty: none did. */
  readonly lastWords: string;
}

/** What is started. */
export interface HostProcessOptions {
  /** The program and its words, up to the remote command. */
  readonly words: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Goes through standard input, which arguments and environments of other users can't see. */
  readonly secret: string;
  readonly onLine: (line: string) => void;
}

/** How long one whose input has ended may take; ranks there are killed by their command at once. */
const END_MS = 2000;

/** One host's ssh. Ctrl-C of the terminal doesn't reach it: the end of its input does. */
export class HostProcess {
  /** Resolves after its last line was heard. Never rejects. */
  readonly end: Promise<HostEnd>;
  private readonly child: ChildProcess;
  private lastWords = '';

  constructor({ words: [program, ...args], env, secret, onLine }: HostProcessOptions) {
    const child = spawn(program!, args, { env, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
    this.child = child;
    child.stdin.on('error', () => undefined); // it has ended, which its end tells
    child.stdin.write(`${secret}\n`);
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        if (line.trim() !== '') this.lastWords = line;
        onLine(line);
      });
    }
    this.end = new Promise((resolve) => {
      child.once('error', ({ message }) => {
        if (child.pid === undefined) resolve({ code: null, signal: null, lastWords: message });
      });
      child.once('close', (code, signal) => resolve({ code, signal, lastWords: this.lastWords }));
    });
  }

  /** Resolves when it has ended: by itself within `patienceMs`, or as its input ends, or by force. */
  async close(patienceMs: number): Promise<void> {
    if (patienceMs > 0 && (await this.endsWithin(patienceMs))) return;
    this.child.stdin?.end();
    if (await this.endsWithin(END_MS)) return;
    this.child.kill('SIGKILL');
    await this.end;
  }

  private endsWithin(ms: number): Promise<boolean> {
    return Promise.race([this.end.then(() => true), delay(ms, false, { ref: false })]);
  }
}
