/** Where a part of the benchmark runs: a process, or a thread of this one. It serves orders (serve.ts). */
import { fork } from 'node:child_process';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { portsOf, type ThreadSeat } from '../../../comm/index.js';
import type { Answer, Order } from '../base/serve.js';

/** One process or thread that answers orders one after another. */
export interface Runner {
  /** For errors, with its number for those who look for it. */
  readonly name: string;
  /** Settles with how it ended, whoever ended it. */
  readonly ended: Promise<string>;
  /** Calls `handler` for every answer from now on. */
  onAnswer(handler: (answer: Answer) => void): void;
  /** Sends an order; one to a runner that is gone is lost, and `ended` says why. */
  post(order: Order): void;
  /** At once: nothing in it has anything to finish. */
  kill(): void;
}

/** `file` is a compiled module of this folder. The name is its argument, for those who look at the list of processes. */
export function startProcess(file: string, name: string): Runner {
  const child = fork(pathOf(file), [name], { execArgv: [], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  const said = lastWords(child.stderr!);
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(`${signal ?? `exit code ${code ?? 'unknown'}`}${said()}`));
  });
  return {
    name: `${name} (pid ${child.pid ?? 'unknown'})`,
    ended,
    onAnswer: (handler) => child.on('message', handler),
    // A process that is gone can't be told; its end says so.
    post: (order) => child.send(order, () => undefined),
    kill: () => child.kill('SIGKILL'),
  };
}

/** A rank that exchanges with other threads; its seat is handed over. */
export function startThread(file: string, name: string, seat: ThreadSeat): Runner {
  const worker = new Worker(pathOf(file), { name, workerData: seat, transferList: portsOf(seat), stderr: true });
  const said = lastWords(worker.stderr);
  const ended = new Promise<string>((resolve) => {
    worker.once('error', (error) => resolve(error.message));
    worker.once('exit', (code) => resolve(`exit code ${code}${said()}`));
  });
  return {
    name: `${name} (thread ${worker.threadId})`,
    ended,
    onAnswer: (handler) => worker.on('message', handler),
    post: (order) => worker.postMessage(order),
    kill: () => void worker.terminate(),
  };
}

const pathOf = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

const MAX_WORDS = 4096;

/** Keeps the end of what is written to an error stream. */
function lastWords(stderr: Readable): () => string {
  let text = '';
  stderr.setEncoding('utf8').on('data', (more: string) => (text = (text + more).slice(-MAX_WORDS)));
  return () => (text.trim() === '' ? '' : `; it said: ${text.trim()}`);
}
