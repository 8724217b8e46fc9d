/** Processes of the benchmark: started together, told to work together, and ended together. */
import { fork, type ChildProcess } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { BenchError } from './errors.js';
import type { Answer } from './serve.js';

/** How long others may take to say that they failed too. */
const CAUSE_MS = 500;
/** Last words of a process that are kept. */
const MAX_STDERR_CHARS = 4096;

export class ProcessGroup<O extends { readonly [K in keyof O]: { order: unknown; answer: unknown } }> {
  readonly #children: readonly Child[];

  /** `file` is a compiled module of this folder; `names` say in errors which process it was. */
  constructor(file: string, names: readonly string[]) {
    this.#children = names.map((name) => new Child(file, name));
  }

  /**
   * Gives every process its order and returns all answers. @throws BenchError naming the process that is nearest the cause, or the
   * signal's reason. After an error the group is of no more use: close it.
   */
  async ask<K extends keyof O & string>(
    name: K,
    orderOf: (index: number) => O[K]['order'],
    signal: AbortSignal,
  ): Promise<O[K]['answer'][]> {
    signal.throwIfAborted();
    let onAbort: () => void = () => undefined;
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(signal.reason as Error);
      signal.addEventListener('abort', onAbort);
    });
    const answers = this.#children.map((child, index) => child.ask({ name, order: orderOf(index) }));
    try {
      return await Promise.race([aborted, allOf(answers)]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Idempotent; returns when every process is gone. None of them has anything to finish. */
  async close(): Promise<void> {
    await Promise.all(this.#children.map((child) => child.kill()));
  }
}

/** The answers, or the failure nearest the cause: a process that died makes the others fail as well, and they may say so first. */
async function allOf(answers: readonly Promise<unknown>[]): Promise<unknown[]> {
  const errors: unknown[] = [];
  for (const answer of answers) answer.catch((error: unknown) => errors.push(error));
  try {
    return await Promise.all(answers);
  } catch (first) {
    await Promise.race([Promise.allSettled(answers), delay(CAUSE_MS, undefined, { ref: false })]);
    throw errors.find(isDeath) ?? errors.find((error) => !isLoss(error)) ?? first;
  }
}

const isDeath = (error: unknown): boolean => error instanceof BenchError && error.code === 'PROCESS_DIED';
const isLoss = (error: unknown): boolean => error instanceof Error && error.message.includes('PEER_LOST');

class Child {
  readonly #name: string;
  readonly #process: ChildProcess;
  readonly #ended: Promise<BenchError>;
  #stderr = '';
  #onAnswer: (answer: Answer) => void = () => undefined;

  constructor(file: string, name: string) {
    this.#name = name;
    const path = fileURLToPath(new URL(file, import.meta.url));
    this.#process = fork(path, [name], { execArgv: [], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    this.#process.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-MAX_STDERR_CHARS);
    });
    this.#process.on('message', (answer: Answer) => this.#onAnswer(answer));
    this.#ended = new Promise((resolve) => {
      this.#process.once('error', (error) => resolve(this.#death(error.message)));
      this.#process.once('close', (code, signal) => resolve(this.#death(signal ?? `exit code ${code ?? 'unknown'}`)));
    });
  }

  /** One order at a time. */
  async ask(order: { readonly name: string; readonly order: unknown }): Promise<unknown> {
    const answered = new Promise<Answer>((resolve) => (this.#onAnswer = resolve));
    // A process that is gone can't be told; its end says so.
    this.#process.send(order, () => undefined);
    const answer = await Promise.race([answered, this.#ended]);
    if (answer instanceof BenchError) throw answer;
    if ('ok' in answer) return answer.ok;
    throw new BenchError('RANK_FAILED', `${this.#name}: ${answer.failed}`);
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#ended;
  }

  #death(how: string): BenchError {
    const words = this.#stderr.trim();
    const said = words === '' ? '' : `; it said: ${words}`;
    return new BenchError('PROCESS_DIED', `${this.#name} (pid ${this.#process.pid ?? '?'}) ended by ${how}${said}`);
  }
}
