/** Who takes tasks for a worker: its own ones, and anybody's. */
import { AckPolicy } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import { setTimeout as delay } from 'node:timers/promises';
import type { Delivery } from '../base/job_bus.js';
import type { Task } from '../base/task.js';
import type { NatsCalls } from './nats_calls.js';
import { NatsDelivery, type Bury } from './nats_delivery.js';
import { ANYBODY, ownTasks, type NatsJobNames } from './nats_job_names.js';
import type { HeldMessage } from './nats_messages.js';
import { NatsPull } from './nats_pull.js';

/** A worker's consumer vanishes when nobody asked for so long: it is made again when its worker is back. */
const FORGOTTEN_MS = 86_400_000;
/** After a consumer that went, or couldn't be made. */
const RETRY_MS = 250;
/** Workers that wait at one time. */
const MAX_WAITING = 8192;

/** What it is made with. */
export interface TakerOptions {
  readonly worker: string;
  readonly width: number;
  readonly silenceMs: number;
  readonly handle: (delivery: Delivery) => Promise<void>;
  readonly bury: Bury;
}

/** Takes until it is stopped. */
export class NatsTaker {
  private readonly own: NatsPull;
  private readonly anybodys: NatsPull;
  private readonly running = new Set<Promise<void>>();
  private readonly deliveries = new Set<NatsDelivery>();
  /** Its own ones that came when it had no room any more; nobody else takes them. */
  private readonly held: HeldMessage[] = [];
  private readonly unwatch: () => void;
  private isReady = false;
  private isOver = false;
  private preparing: Promise<void> | null = null;
  private ending: Promise<void> | null = null;

  constructor(
    private readonly calls: NatsCalls,
    private readonly names: NatsJobNames,
    private readonly options: TakerOptions,
  ) {
    const lost = (): void => {
      this.isReady = false;
      // What was asked for before isn't known to a server that was started anew.
      for (const pull of [this.own, this.anybodys]) void pull.cancel();
      this.prepare();
    };
    const pull = (consumer: string, hear: (message: HeldMessage) => void): NatsPull =>
      new NatsPull(calls, { stream: names.tasks, consumer }, { hear, expired: () => this.fill(), lost });
    this.own = pull(ownTasks(options.worker), (message) => this.hearOwn(message));
    this.anybodys = pull(ANYBODY, (message) => this.hearAnybodys(message));
    this.unwatch = calls.link.watch({ up: lost, down: () => undefined, refused: () => undefined });
    this.prepare();
  }

  /** As the function that {@link TaskQueue.take} returns. */
  stop(): Promise<void> {
    this.ending ??= this.end();
    return this.ending;
  }

  /** The bus closes: what is in hand is nobody's any more. */
  async close(): Promise<void> {
    this.isOver = true;
    this.unwatch();
    await Promise.all([this.own.stop(), this.anybodys.stop()]);
    for (const delivery of this.deliveries) delivery.close();
  }

  private async end(): Promise<void> {
    this.isOver = true;
    this.unwatch();
    await Promise.all([this.own.stop(), this.anybodys.stop()]);
    for (const message of this.held.splice(0)) message.again(0);
    while (this.running.size > 0) await Promise.all(this.running);
    const { link, manager } = this.calls;
    if (link.isUp)
      await manager.consumers.delete(this.names.tasks, ownTasks(this.options.worker)).catch(() => undefined);
  }

  /** The consumers are there, and are asked. */
  private prepare(): void {
    this.preparing ??= this.ensure().finally(() => {
      this.preparing = null;
      this.fill();
    });
  }

  private async ensure(): Promise<void> {
    const { worker, silenceMs } = this.options;
    while (!this.isOver && this.calls.link.isUp) {
      try {
        for (const durable of [ownTasks(worker), ANYBODY])
          await this.calls.manager.consumers.add(this.names.tasks, {
            ...{ durable_name: durable, filter_subject: this.names.task(durable, '*'), ack_policy: AckPolicy.Explicit },
            ...{ ack_wait: nanos(silenceMs), max_deliver: -1, max_ack_pending: -1, max_waiting: MAX_WAITING },
            ...(durable !== ANYBODY && { inactive_threshold: nanos(FORGOTTEN_MS) }),
          });
        this.isReady = true;
        return;
      } catch {
        await delay(RETRY_MS, undefined, { ref: false });
      }
    }
  }

  private get room(): number {
    return this.options.width - this.running.size - this.held.length;
  }

  /** Asks for as many as there is room for. */
  private fill(): void {
    if (this.isOver) return;
    while (this.held.length > 0 && this.running.size < this.options.width) this.begin(this.held.shift()!);
    if (!this.isReady) return;
    for (const pull of [this.own, this.anybodys])
      if (this.room > 0) pull.want(this.room);
      else void pull.cancel();
  }

  private hearOwn(message: HeldMessage): void {
    if (this.isOver) return message.again(0);
    if (this.running.size < this.options.width) this.begin(message);
    else this.held.push(message);
    this.fill();
  }

  private hearAnybodys(message: HeldMessage): void {
    if (this.isOver || this.room <= 0) return message.again(0); // it came while room was lost to another one
    this.begin(message);
    this.fill();
  }

  private begin(message: HeldMessage): void {
    const task = taskOf(message);
    if (task === null) return void message.done().catch(() => undefined); // nobody could read it, ever
    const { bury, silenceMs, handle } = this.options;
    const delivery = new NatsDelivery(this.calls, message, task, bury, silenceMs);
    this.deliveries.add(delivery);
    const run = Promise.resolve(delivery)
      .then(handle)
      .catch(() => undefined) // it comes again
      .then(() => {
        delivery.end();
        this.deliveries.delete(delivery);
        this.running.delete(run);
        this.fill();
      });
    this.running.add(run);
  }
}

/** Null: it is none. */
function taskOf(message: HeldMessage): Task | null {
  try {
    const task = JSON.parse(message.text) as { readonly [name in keyof Task]?: Partial<Task[name]> } | null;
    const isTask = typeof task?.key?.run === 'string' && typeof task.key.node === 'string' && task.work !== undefined;
    return isTask ? (task as Task) : null;
  } catch {
    return null;
  }
}
