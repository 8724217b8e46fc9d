/** Tasks, made by hand, and who takes them. */
import type { Delivery, JobBus, QueuedTask } from '../../../lib/jobs/base/job_bus.js';
import type { Task } from '../../../lib/jobs/base/task.js';
import { Told } from './told.js';

export const taskOf = (run: string, index = 0, others: Partial<Task> = {}): Task => ({
  key: { run, node: 'work', index },
  job: 'nightly',
  shardTotal: 10,
  work: { kind: 'command', args: ['plan', '--shard', `${index}`] },
  inputs: [],
  timeoutMs: 60_000,
  retries: { count: 2, backoffMs: 1000, maxBackoffMs: 60_000 },
  dueMs: 1_800_000_000_000,
  ...others,
});

/** `to`: a worker; null: any. */
export const queued = (run: string, index = 0, to: string | null = null): QueuedTask => ({
  id: `${run}.work.${index}`,
  to,
  task: taskOf(run, index),
});

/** 'r1 3': of which run, and which shard. */
export const nameOf = ({ key }: Task): string => `${key.run} ${key.index}`;

/** Takes tasks, and holds each until the test says what becomes of it; or does all at once. */
export class Taker {
  /** Those that came. */
  readonly told = new Told<Delivery>();
  readonly stop: () => Promise<void>;
  /** In hand now, and at most so far. */
  numInHand = 0;
  mostInHand = 0;

  constructor(
    bus: JobBus,
    worker: string,
    width: number,
    private readonly act: (delivery: Delivery) => Promise<void> = (delivery) => delivery.done(),
  ) {
    this.stop = bus.tasks.take(worker, width, (delivery) => this.take(delivery));
  }

  get names(): readonly string[] {
    return this.told.all.map(({ task }) => nameOf(task));
  }

  /** A task with that name came. */
  gets(name: string): Promise<void> {
    return this.told.until((all) => all.some(({ task }) => nameOf(task) === name));
  }

  private async take(delivery: Delivery): Promise<void> {
    this.mostInHand = Math.max(this.mostInHand, ++this.numInHand);
    this.told.tell(delivery);
    try {
      await this.act(delivery);
    } finally {
      this.numInHand--;
    }
  }
}

/** Something that the test lets happen. */
export class Gate {
  private release: () => void = () => undefined;
  readonly opened = new Promise<void>((resolve) => (this.release = resolve));

  open(): void {
    this.release();
  }
}
