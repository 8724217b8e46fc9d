import { JobError } from '../../../lib/jobs/base/errors.js';
import type { Delivery } from '../../../lib/jobs/base/job_bus.js';
import { runRecord, shardRecord, type Shard, type Task } from '../../../lib/jobs/base/task.js';
import type { JobRun } from '../../../lib/jobs/base/run.js';
import { hasEnded } from '../../../lib/jobs/decisions/graph.js';
import type { PlayedBus } from './played_bus.js';

/** How long a try takes, and whether it fails. */
export type Play = (task: Task, attempt: number) => { readonly ms: number; readonly isFailing: boolean };

/** A worker that takes time and does nothing, and commits what it did by compare and set. It may die, and even so commit what it had in hand. */
export class PlayedWorker {
  private readonly stop: () => Promise<void>;
  private isDead = false;
  private readonly inHand = new Set<() => void>();

  constructor(
    private readonly bus: PlayedBus,
    readonly id: string,
    private readonly play: Play,
    width = 2,
  ) {
    this.stop = bus.queue.take(id, width, (delivery) => this.work(delivery));
    bus.workers.set(id, { id, host: 'host', pid: 1, version: '0', width, numRunning: 0, startedMs: 0 });
    bus.tellRoster();
  }

  /** It is gone for all others; `isGhost`: it goes on with what it has, and commits it. */
  die(isGhost: boolean): void {
    this.isDead = !isGhost;
    void this.stop();
    this.bus.workers.delete(this.id);
    this.bus.tellRoster();
    for (const reject of this.inHand) reject();
  }

  private work(delivery: Delivery): Promise<void> {
    return new Promise((resolve, reject) => {
      const lose = (): void => reject(new Error('the worker died'));
      this.inHand.add(lose);
      void this.run(delivery)
        .then(resolve, reject)
        .finally(() => this.inHand.delete(lose));
    });
  }

  private async run(delivery: Delivery): Promise<void> {
    const { task } = delivery;
    const key = shardRecord(task.key);
    const before = this.bus.known.get(key);
    const shard = before === undefined ? null : (JSON.parse(before.text) as Shard);
    const run = this.bus.known.get(runRecord(task.key.run));
    const isOver = run === undefined || hasEnded(JSON.parse(run.text) as JobRun);
    if (isOver || (shard !== null && shard.state !== 'trying')) return delivery.done();
    const failures = shard?.state === 'trying' ? shard.failures : 0;
    const { ms, isFailing } = this.play(task, failures + 1);
    await new Promise<void>((resolve) => this.bus.clock.after(ms, resolve));
    if (this.isDead) throw new Error('the worker died');
    await this.commit(delivery, key, before?.revision ?? 0, failures, isFailing);
  }

  private async commit(
    delivery: Delivery,
    key: string,
    revision: number,
    failures: number,
    isFailing: boolean,
  ): Promise<void> {
    const error = { code: 'TASK_FAILED', message: 'it is to fail' };
    const base = { worker: this.id, attempts: failures + 1, endedMs: this.bus.clock.now() };
    const isLast = failures >= delivery.task.retries.count;
    const next: Shard = !isFailing
      ? { ...base, state: 'done', files: [], value: null, beganMs: 0 }
      : isLast
        ? { ...base, state: 'failed', error }
        : { state: 'trying', failures: failures + 1, error };
    try {
      this.bus.write(key, JSON.stringify(next), revision);
    } catch (reason) {
      if (!(reason instanceof JobError)) throw reason;
      return delivery.again(10); // somebody else wrote: it looks again
    }
    return next.state === 'trying' ? delivery.again(100) : delivery.done();
  }
}
