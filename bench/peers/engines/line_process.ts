/** A program that answers orders: one line of JSON each way, after a first one that says that it is ready. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { BenchError } from '../../base/errors.js';
import type { CommandLine } from './cores.js';

const MAX_WORDS = 2000;
/** What an error shows of a line. */
const MAX_LINE = 200;

/** One order at a time; `close` ends it, and it ends with this process, which its standard input belongs to. */
export class LineProcess {
  private said = '';
  private ending = false;
  private readonly ended: Promise<string>;
  private readonly answers: AsyncIterator<string>;
  private readonly child: ChildProcessWithoutNullStreams;

  private constructor(
    private readonly name: string,
    { command, args }: CommandLine,
    signal: AbortSignal,
  ) {
    this.child = spawn(command, args, { signal });
    this.child.stderr
      .setEncoding('utf8')
      .on('data', (text: string) => (this.said = (this.said + text).slice(-MAX_WORDS)));
    this.child.stdin.on('error', () => undefined); // a process that is gone says so by its end
    this.answers = createInterface(this.child.stdout)[Symbol.asyncIterator]();
    this.ended = new Promise((resolve) => {
      this.child.once('error', (error) => resolve(error.message));
      this.child.once('close', (code, by) => resolve(by ?? `exit code ${code ?? 'unknown'}`));
    });
  }

  /** `name`: for errors. Returns when it is ready, with what it says of itself. @throws BenchError PROCESS_DIED with its last words, NOT_UNDERSTOOD; then it is gone */
  static async start(
    name: string,
    line: CommandLine,
    signal: AbortSignal,
  ): Promise<{ process: LineProcess; facts: object }> {
    const process = new LineProcess(name, line, signal);
    const { ready } = (await process.answer()) as { readonly ready?: object };
    if (ready !== undefined) return { process, facts: ready };
    return process.notUnderstood('another answer than that it is ready');
  }

  /** @throws BenchError PROCESS_DIED with its last words, NOT_UNDERSTOOD; then it is gone */
  async ask(order: object): Promise<unknown> {
    this.child.stdin.write(`${JSON.stringify(order)}\n`);
    return this.answer();
  }

  /** Idempotent; returns when it is gone. */
  async close(): Promise<void> {
    this.ending = true;
    this.child.stdin.end();
    await this.ended;
  }

  private async answer(): Promise<unknown> {
    const line = await this.answers.next();
    if (line.done !== true) return parsed(line.value) ?? this.notUnderstood(line.value.slice(0, MAX_LINE));
    const how = await this.ended;
    const said = this.said.trim() === '' || this.ending ? '' : `; it said: ${this.said.trim()}`;
    throw new BenchError('PROCESS_DIED', `${this.name} ended by ${how}${said}`);
  }

  /** Nobody has it who could close it. */
  private async notUnderstood(what: string): Promise<never> {
    this.child.kill('SIGKILL');
    await this.ended;
    const said = this.said.trim() === '' ? '' : `; its errors: ${this.said.trim()}`;
    throw new BenchError('NOT_UNDERSTOOD', `${this.name} said ${JSON.stringify(what)}, which is no answer${said}`);
  }
}

/** An object of JSON; null: the line is none. */
function parsed(line: string): object | null {
  try {
    const value = JSON.parse(line) as unknown;
    return typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}
