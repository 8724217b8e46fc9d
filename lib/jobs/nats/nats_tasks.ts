/** Tasks as a work queue of JetStream: each is kept until it is acknowledged. */
import { JobError } from '../base/errors.js';
import type { DeadLetter, Delivery, QueuedTask, TaskQueue } from '../base/job_bus.js';
import { deadRecord } from '../base/task.js';
import type { NatsCalls } from './nats_calls.js';
import { ANYBODY, ownTasks, type NatsJobNames } from './nats_job_names.js';
import { checkSize, type NatsRecords } from './nats_records.js';
import { NatsTaker } from './nats_taker.js';

/** Messages whose acknowledgement is waited for at one time. */
const WINDOW = 256;

/** As {@link TaskQueue}. */
export class NatsTasks implements TaskQueue {
  readonly isDurable = true;
  private readonly takers = new Set<NatsTaker>();

  constructor(
    private readonly calls: NatsCalls,
    private readonly names: NatsJobNames,
    private readonly records: NatsRecords,
    private readonly silenceMs: number,
  ) {}

  /** As {@link TaskQueue.add}. */
  async add(tasks: readonly QueuedTask[]): Promise<void> {
    this.calls.checkOpen();
    const left = tasks.values();
    const put = async (): Promise<void> => {
      for (const each of left) await this.addOne(each);
    };
    await Promise.all(Array.from({ length: Math.min(WINDOW, tasks.length) }, put));
  }

  /** As {@link TaskQueue.take}. */
  take(worker: string, width: number, handle: (delivery: Delivery) => Promise<void>): () => Promise<void> {
    this.calls.checkOpen();
    const { silenceMs } = this;
    const bury = ({ task, deliveries }: Delivery, reason: string): Promise<void> =>
      this.bury({ task, reason, deliveries, atMs: Date.now() });
    const taker = new NatsTaker(this.calls, this.names, { worker, width, silenceMs, handle, bury });
    this.takers.add(taker);
    return async () => {
      await taker.stop();
      this.takers.delete(taker);
    };
  }

  /** As {@link TaskQueue.drop}. */
  async drop(what: { readonly run: string } | { readonly worker: string }): Promise<void> {
    const filter = 'run' in what ? this.names.task('*', what.run) : this.names.task(ownTasks(what.worker), '*');
    await this.calls.call('the removal of tasks', () => this.calls.manager.streams.purge(this.names.tasks, { filter }));
  }

  /** Nothing is taken any more. */
  async close(): Promise<void> {
    await Promise.all([...this.takers].map((taker) => taker.close()));
  }

  private async addOne({ id, to, task }: QueuedTask): Promise<void> {
    const subject = this.names.task(to === null ? ANYBODY : ownTasks(to), task.key.run);
    const text = JSON.stringify(task);
    const what = `the task ${id}`;
    checkSize(what, Buffer.byteLength(text), this.calls);
    await this.calls.call(what, () => this.calls.js.publish(subject, text, { msgID: id }));
  }

  /** Once, however often it is told. */
  private async bury(dead: DeadLetter): Promise<void> {
    const key = deadRecord(dead.task.key);
    const before = await this.records.read(key);
    try {
      await this.records.write(key, JSON.stringify(dead), before?.revision ?? 0);
    } catch (error) {
      if (!(error instanceof JobError) || error.code !== 'RECORD_CONFLICT') throw error;
    }
  }
}
