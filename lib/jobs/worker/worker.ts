/** A worker: takes tasks from the bus, runs them, and says that it is there. */
import { JobError } from '../base/errors.js';
import type { Delivery, JobBus, Seat, WorkerRecord } from '../base/job_bus.js';
import { checkedTask, keyOfTask } from '../base/parse.js';
import { shardRecord } from '../base/task.js';
import { execute } from './executions.js';
import { tryShard, type TryHost } from './shard_try.js';
import { ShardRecord } from './shard_record.js';
import { ShardWatch } from './shard_watch.js';

/** How a worker works. */
export interface WorkerOptions extends Omit<TryHost, 'worker' | 'bus' | 'watch' | 'execute' | 'ending'> {
  readonly bus: JobBus;
  /** Without what it does just now. */
  readonly record: Omit<WorkerRecord, 'numRunning'>;
  /** Does a task's work. Default: as its kind says. */
  readonly execute?: TryHost['execute'];
  /** What is given back has so long, beside the grace of its process: a bus that is down holds nobody up. Default a second. */
  readonly farewellMs?: number;
  /** A line of what happens. */
  readonly tell?: (line: string) => void;
}

const FAREWELL_MS = 1000;

/** From its place on the bus to its end. */
export class Worker {
  private readonly ending = new AbortController();
  /** Tries by shard: of one that comes again meanwhile, one behind the other. */
  private readonly inHand = new Map<string, Promise<void>>();
  private readonly host: TryHost;
  private readonly stopTaking: () => Promise<void>;
  private ended: Promise<void> | null = null;

  private constructor(
    private readonly options: WorkerOptions,
    private readonly seat: Seat,
  ) {
    const { bus, record, clock } = options;
    const watch = new ShardWatch(bus.records, clock);
    const run = options.execute ?? ((context) => execute(context.task.work, context));
    this.host = { ...options, worker: record.id, watch, execute: run, ending: this.ending.signal };
    this.stopTaking = bus.tasks.take(record.id, record.width, (delivery) => this.handle(delivery));
  }

  /** Takes its place. @throws JobError WORKER_ID_TAKEN, BUS_FAILED */
  static async start(options: WorkerOptions): Promise<Worker> {
    return new Worker(options, await options.bus.roster.enter({ ...options.record, numRunning: 0 }));
  }

  /** Tasks in hand. */
  get numRunning(): number {
    return this.inHand.size;
  }

  /** Takes nothing new, waits `patienceMs` for what runs, gives back the rest, and leaves. Idempotent; a shorter patience counts. */
  async end(patienceMs: number): Promise<void> {
    const giveBack = (): void => this.ending.abort(new JobError('CLOSED', 'the worker ends; another one goes on'));
    if (patienceMs <= 0) giveBack();
    const cancel = this.options.clock.after(patienceMs, giveBack);
    await (this.ended ??= this.leave());
    cancel();
  }

  private async leave(): Promise<void> {
    await this.soon(this.stopTaking());
    this.host.watch.close();
    await this.soon(this.seat.leave());
  }

  private async handle(delivery: Delivery): Promise<void> {
    const task = checkedTask(delivery.task);
    if (task === null) return this.refuse(delivery);
    const name = shardRecord(task.key);
    // The same message may come again where this worker was silent for long; whether there is anything left to do is known when the first try is over.
    const before = this.inHand.get(name) ?? Promise.resolve();
    const own = before.then(() => tryShard(task, delivery, this.host));
    const over = own.catch(() => undefined);
    this.inHand.set(name, over);
    this.update();
    try {
      await own;
    } catch (error) {
      this.options.tell?.(`${name}: ${error instanceof Error ? error.message : String(error)}`);
      // Nobody else can read it either: its task would come again for ever.
      if (!(error instanceof JobError && error.code === 'BROKEN_RECORD')) throw error;
      await delivery.dead(error.message);
    } finally {
      if (this.inHand.get(name) === over) this.inHand.delete(name);
      this.update();
    }
  }

  /** Waits for it, but no longer than a farewell takes once all is given back: what wasn't said then is delivered again anyway. */
  private async soon(work: Promise<void>): Promise<void> {
    const { clock, context, farewellMs = FAREWELL_MS } = this.options;
    const { signal } = this.ending;
    let cancel = (): void => undefined;
    const late = new Promise<void>((resolve) => {
      const begin = (): void => void (cancel = clock.after(context.graceMs + farewellMs, resolve));
      if (signal.aborted) begin();
      else signal.addEventListener('abort', begin);
    });
    await Promise.race([work, late]);
    cancel();
  }

  /** Of another version, or by another hand. Its run is not to wait for it. */
  private async refuse(delivery: Delivery): Promise<void> {
    const { bus, clock, record } = this.options;
    const message = 'no worker of this version can read the task; give all machines the same version';
    const key = keyOfTask(delivery.task);
    if (key !== null) {
      const shard = new ShardRecord(bus.records, key);
      const error = { code: 'BROKEN_RECORD', message };
      const failed = { error, worker: record.id, attempts: delivery.deliveries, endedMs: clock.now() };
      await shard.write(await shard.read(), () => ({ state: 'failed', ...failed }));
    }
    await delivery.dead(message);
  }

  private update(): void {
    this.seat.update({ ...this.options.record, numRunning: this.inHand.size });
  }
}
