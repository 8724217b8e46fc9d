/** Timers finer than a millisecond: a message of a decode step takes a link less time than that. */
import { Worker } from 'node:worker_threads';
import { fineNow, type ClockWords } from './clock_words.js';

/** Calls at given times; a thread that sleeps until then, of its own from the first call that is wanted, wakes it. */
export class FineClock {
  private readonly due = new Map<() => void, number>();
  private readonly words: ClockWords = {
    changes: new Int32Array(new SharedArrayBuffer(4)),
    dueMs: new Float64Array(new SharedArrayBuffer(8)).fill(Infinity),
  };
  private worker: Worker | null = null;

  /** Calls it then, once, instead of when it was to be called before. */
  wake(call: () => void, atMs: number): void {
    this.worker ??= this.start();
    this.due.set(call, atMs);
    if (atMs < this.words.dueMs[0]!) this.sleepUntil(atMs);
  }

  /** Calls nobody any more. Idempotent. */
  async close(): Promise<void> {
    this.due.clear();
    await this.worker?.terminate();
  }

  private start(): Worker {
    const worker = new Worker(new URL('./fine_clock_worker.js', import.meta.url), { workerData: this.words });
    worker.on('message', () => this.call());
    worker.unref();
    return worker;
  }

  private call(): void {
    const nowMs = fineNow();
    const calls = [...this.due].filter(([, atMs]) => atMs <= nowMs).map(([call]) => call);
    for (const call of calls) this.due.delete(call);
    this.words.dueMs[0] = Infinity;
    for (const call of calls) call();
    this.sleepUntil(Math.min(...this.due.values()));
  }

  private sleepUntil(atMs: number): void {
    const { changes, dueMs } = this.words;
    dueMs[0] = atMs;
    Atomics.add(changes, 0, 1);
    Atomics.notify(changes, 0);
  }
}
