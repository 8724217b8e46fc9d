import type { Delivery, JobClock, QueuedTask } from '../../../lib/jobs/base/job_bus.js';

/** A worker that is silent for so long has its tasks taken from it. */
export const SILENCE_MS = 2000;

interface Taker {
  readonly worker: string;
  readonly width: number;
  readonly handle: (delivery: Delivery) => Promise<void>;
  numRunning: number;
  isOver: boolean;
}

/** A queue in memory: what is in hand of a taker that stops comes again, unless it was dropped meanwhile. */
export class PlayedQueue {
  private waiting: QueuedTask[] = [];
  private readonly ids = new Set<string>();
  private readonly takers = new Set<Taker>();
  private readonly deliveries = new Map<string, number>();
  private readonly inHand = new Set<QueuedTask>();

  constructor(
    private readonly clock: JobClock,
    readonly isDurable: boolean,
  ) {}

  get numWaiting(): number {
    return this.waiting.length;
  }

  add(tasks: readonly QueuedTask[]): void {
    for (const task of tasks) {
      if (this.ids.has(task.id)) continue;
      this.ids.add(task.id);
      this.waiting.push(task);
    }
    this.serve();
  }

  take(worker: string, width: number, handle: (delivery: Delivery) => Promise<void>): () => Promise<void> {
    const taker: Taker = { worker, width, handle, numRunning: 0, isOver: false };
    this.takers.add(taker);
    this.serve();
    return () => {
      taker.isOver = true;
      this.takers.delete(taker);
      return Promise.resolve();
    };
  }

  drop(what: { readonly run: string } | { readonly worker: string }): void {
    const isMeant = ({ to, task }: QueuedTask): boolean =>
      'run' in what ? task.key.run === what.run : to === what.worker;
    this.waiting = this.waiting.filter((queued) => !isMeant(queued));
    for (const queued of this.inHand) if (isMeant(queued)) this.inHand.delete(queued);
  }

  /** All that waits goes with the process. */
  lose(): void {
    this.waiting = [];
    this.inHand.clear();
    this.ids.clear();
  }

  private serve(): void {
    for (const taker of this.takers) {
      while (taker.numRunning < taker.width) {
        const at = this.waiting.findIndex(({ to }) => to === null || to === taker.worker);
        if (at < 0) break;
        this.hand(taker, at === 0 ? this.waiting.shift()! : this.waiting.splice(at, 1)[0]!);
      }
    }
  }

  private hand(taker: Taker, queued: QueuedTask): void {
    taker.numRunning++;
    this.inHand.add(queued);
    const deliveries = (this.deliveries.get(queued.id) ?? 0) + 1;
    this.deliveries.set(queued.id, deliveries);
    const end = (delayMs: number | null): Promise<void> => {
      taker.numRunning--;
      if (delayMs === null) this.inHand.delete(queued);
      else this.later(queued, delayMs);
      this.serve();
      return Promise.resolve();
    };
    const delivery = { task: queued.task, deliveries, done: () => end(null), again: end, dead: () => end(null) };
    void taker.handle(delivery).catch(() => end(SILENCE_MS));
  }

  private later(queued: QueuedTask, delayMs: number): void {
    this.clock.after(delayMs, () => {
      if (!this.inHand.delete(queued)) return;
      this.waiting.push(queued);
      this.serve();
    });
  }
}
