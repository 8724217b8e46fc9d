/** Encoding beside the event loop: a megabyte takes a second or two, in which no token would be delivered. */
import { Worker } from 'node:worker_threads';
import { causeText } from '../../base/foreign_text.js';
import { TokenizerError } from './errors.js';
import type { EncodeOptions } from './tokenizer.js';
import type { EncodeAnswer, EncodeQuestion, TokenizerWorkerData } from './tokenizer_worker.js';

/** The most texts that one thread holds: one is encoded, and others wait. */
const MAX_TEXTS = 16;

/** Encodes texts one after the other in a thread of its own (`tokenizer_worker.ts`), with a tokenizer of its own, made by the first of them. */
export class TokenizerThread {
  private worker: Worker | null = null;
  /** In the order in which they came; the first is being encoded. */
  private readonly texts: WaitingText[] = [];
  private isClosed = false;
  /** Threads that were stopped have ended. */
  private stopped: Promise<unknown> = Promise.resolve();

  /** @param dir the model folder */
  constructor(private readonly dir: string) {}

  /** Whether no text is taken until another one is done. */
  get isFull(): boolean {
    return this.texts.length >= MAX_TEXTS;
  }

  /**
   * Token ids of a text, as `Tokenizer.encode` has them.
   * @param signal whose text is forgotten when it is aborted, also while it is being encoded; rejects with its reason then
   * @throws TokenizerError NOT_ENCODABLE, and what loading a tokenizer throws; THREAD_ENDED where the thread failed, is full, or was closed
   */
  async encode(text: string, options: EncodeOptions = {}, signal?: AbortSignal): Promise<readonly number[]> {
    signal?.throwIfAborted();
    if (this.isClosed || this.isFull) throw threadEnded(this.isClosed ? 'it was closed' : 'it is full');
    const waiting = new WaitingText({ text, options });
    const giveUp = (): void => this.giveUp(waiting, signal!.reason);
    signal?.addEventListener('abort', giveUp, { once: true });
    this.texts.push(waiting);
    if (this.texts.length === 1) this.begin();
    try {
      return await waiting.tokenIds;
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
  }

  /** Texts that wait are given up. Idempotent. */
  async close(): Promise<void> {
    this.isClosed = true;
    for (const { reject } of this.texts.splice(0)) reject(threadEnded('it was closed'));
    this.stop();
    await this.stopped;
  }

  private begin(): void {
    const [first] = this.texts;
    if (first === undefined) return this.worker?.unref(); // an idle thread keeps no process alive
    const worker = (this.worker ??= this.start());
    worker.ref();
    worker.postMessage(first.question);
  }

  private start(): Worker {
    const workerData: TokenizerWorkerData = { dir: this.dir };
    const worker = new Worker(new URL('./tokenizer_worker.js', import.meta.url), { workerData });
    worker.on('message', (answer: EncodeAnswer) => {
      if (worker === this.worker) this.answered(answer);
    });
    worker.on('error', (error: unknown) => this.failed(worker, causeText(error)));
    worker.on('exit', () => this.failed(worker, 'it ended'));
    return worker;
  }

  private answered(answer: EncodeAnswer): void {
    const { resolve, reject } = this.texts.shift()!;
    this.begin();
    if (answer.kind === 'encoded') resolve(answer.tokenIds);
    else reject(new TokenizerError(answer.code, answer.text, { file: answer.file }));
  }

  /** A text that is being encoded ends with its thread alone; the next one gets another. */
  private giveUp(text: WaitingText, reason: unknown): void {
    const place = this.texts.indexOf(text);
    if (place < 0) return;
    this.texts.splice(place, 1);
    text.reject(reason);
    if (place > 0) return;
    this.stop();
    this.begin();
  }

  private stop(): void {
    const { worker } = this;
    this.worker = null;
    if (worker !== null) this.stopped = Promise.all([this.stopped, worker.terminate()]);
  }

  private failed(worker: Worker, why: string): void {
    if (worker !== this.worker) return;
    this.worker = null;
    for (const { reject } of this.texts.splice(0)) reject(threadEnded(why));
  }
}

class WaitingText {
  resolve!: (tokenIds: readonly number[]) => void;
  reject!: (reason: unknown) => void;
  readonly tokenIds = new Promise<readonly number[]>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });

  constructor(readonly question: EncodeQuestion) {}
}

const threadEnded = (why: string): TokenizerError =>
  new TokenizerError('THREAD_ENDED', `the thread that encodes long texts: ${why}; try again, or give a shorter text`);
