/** Tasks that wait in this process. They go with it: whoever leads the next one puts them in line again. */
import { closedError } from '../base/errors.js';
import type { Delivery, JobClock, QueuedTask, Records, TaskQueue } from '../base/job_bus.js';
import { deadRecord } from '../base/task.js';

/** An id that is done is known so long. */
const REMEMBERED_MS = 120_000;
/** What somebody failed to end comes again, but doesn't keep everybody busy. */
const AGAIN_MS = 100;

interface Waiting extends QueuedTask {
  deliveries: number;
}

interface Taker {
  readonly worker: string;
  readonly width: number;
  readonly handle: (delivery: Delivery) => Promise<void>;
  readonly running: Set<Promise<void>>;
}

/** {@link TaskQueue} in memory. */
export class LocalQueue implements TaskQueue {
  readonly isDurable = false;
  private isClosed = false;
  private readonly seen = new Set<string>();
  private waiting: Waiting[] = [];
  private readonly later = new Set<Waiting>();
  private readonly takers = new Set<Taker>();

  constructor(
    private readonly records: Records,
    private readonly clock: JobClock,
  ) {}

  /** As {@link TaskQueue.add}. */
  add(tasks: readonly QueuedTask[]): Promise<void> {
    if (this.isClosed) return Promise.reject(closedError());
    for (const task of tasks) {
      if (this.seen.has(task.id)) continue;
      this.seen.add(task.id);
      this.waiting.push({ ...task, deliveries: 0 });
    }
    this.hand();
    return Promise.resolve();
  }

  /** As {@link TaskQueue.take}. */
  take(worker: string, width: number, handle: (delivery: Delivery) => Promise<void>): () => Promise<void> {
    const taker: Taker = { worker, width, handle, running: new Set() };
    this.takers.add(taker);
    this.hand();
    return async () => {
      this.takers.delete(taker);
      await Promise.all(taker.running);
    };
  }

  /** As {@link TaskQueue.drop}. */
  drop(what: { readonly run: string } | { readonly worker: string }): Promise<void> {
    const isMeant = ({ to, task }: Waiting): boolean =>
      'run' in what ? task.key.run === what.run : to === what.worker;
    for (const task of [...this.waiting, ...this.later].filter(isMeant)) {
      this.later.delete(task);
      this.seen.delete(task.id);
    }
    this.waiting = this.waiting.filter((task) => !isMeant(task));
    return Promise.resolve();
  }

  /** Nothing is put in line any more. */
  close(): void {
    this.isClosed = true;
  }

  /** To whoever has a hand free. Those who took nothing for long come first. */
  private hand(): void {
    for (const taker of [...this.takers]) {
      if (taker.running.size >= taker.width) continue;
      const at = this.waiting.findIndex(({ to }) => to === null || to === taker.worker);
      if (at < 0) continue;
      const [task] = this.waiting.splice(at, 1);
      this.takers.delete(taker);
      this.takers.add(taker);
      this.deliver(taker, task!);
      return this.hand();
    }
  }

  private deliver(taker: Taker, task: Waiting): void {
    task.deliveries++;
    let isSettled = false;
    const settle = (): void => {
      isSettled = true;
    };
    const forget = (): void => {
      settle();
      this.clock.after(REMEMBERED_MS, () => this.seen.delete(task.id));
    };
    const delivery: Delivery = {
      task: task.task,
      deliveries: task.deliveries,
      done: () => {
        forget();
        return Promise.resolve();
      },
      again: (delayMs) => {
        settle();
        this.putBack(task, delayMs);
        return Promise.resolve();
      },
      dead: async (reason) => {
        forget();
        const { key } = task.task;
        const letter = { task: task.task, reason, deliveries: task.deliveries, atMs: this.clock.now() };
        const found = await this.records.read(deadRecord(key));
        await this.records.write(deadRecord(key), JSON.stringify(letter), found?.revision ?? 0);
      },
    };
    const work = taker
      .handle(delivery)
      .catch(() => undefined) // it is delivered again, as that of a worker that died
      .then(() => {
        if (!isSettled) this.putBack(task, AGAIN_MS);
        taker.running.delete(work);
        this.hand();
      });
    taker.running.add(work);
  }

  private putBack(task: Waiting, delayMs: number): void {
    this.later.add(task);
    this.clock.after(delayMs, () => {
      if (!this.later.delete(task)) return;
      this.waiting.push(task);
      this.hand();
    });
  }
}
