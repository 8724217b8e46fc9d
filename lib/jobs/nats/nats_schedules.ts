/** Schedules as JetStream's message schedules: a message that the server sends again and again, whoever is there. */
import { AckPolicy, type JetStreamApiError } from '@nats-io/jetstream';
import { headers, nanos, type MsgHdrs } from '@nats-io/transport-node';
import { setTimeout as delay } from 'node:timers/promises';
import { JobError } from '../base/errors.js';
import type { Firing, Schedule, Schedules } from '../base/job_bus.js';
import type { NatsCalls } from './nats_calls.js';
import type { NatsJobNames } from './nats_job_names.js';
import type { HeldMessage } from './nats_messages.js';
import { NatsPull } from './nats_pull.js';

const CONSUMER = 'firings';
/** Firings in hand at one time: jobs that are due in one second. */
const WIDTH = 256;
/** A firing whose handler failed comes again; one that couldn't be asked for is asked for. */
const RETRY_MS = 500;
/** NATS counts in whole seconds. */
const SECOND_MS = 1000;
const HEADERS = ['Nats-Schedule', 'Nats-Schedule-Target', 'Nats-Schedule-Time-Zone'] as const;

/** As {@link Schedules}. */
export class NatsSchedules implements Schedules {
  private readonly takers = new Set<FiringTaker>();

  constructor(
    private readonly calls: NatsCalls,
    private readonly names: NatsJobNames,
    private readonly options: { readonly hasSchedules: boolean; readonly silenceMs: number },
  ) {}

  /** As {@link Schedules.set}. */
  async set(job: string, schedules: readonly (Schedule | null)[]): Promise<void> {
    this.calls.checkOpen();
    if (schedules.every((each) => each === null) && !this.options.hasSchedules) return;
    this.checkVersion();
    const wanted = new Map(
      schedules.flatMap((each, i) => (each === null ? [] : [[`${i}`, this.headersOf(job, `${i}`, each)]])),
    );
    await this.calls.call(`the schedules of ${job}`, async () => {
      for (const trigger of await this.triggersOf(job)) if (!wanted.has(trigger)) await this.remove(job, trigger);
      for (const [trigger, head] of wanted) await this.put(this.names.schedule(job, trigger), head);
    });
  }

  /** As {@link Schedules.take}. */
  take(handle: (firing: Firing) => Promise<void>): () => Promise<void> {
    this.calls.checkOpen();
    this.checkVersion();
    const taker = new FiringTaker(this.calls, this.names, this.options.silenceMs, handle);
    this.takers.add(taker);
    return async () => {
      this.takers.delete(taker);
      await taker.stop();
    };
  }

  /** Nothing is taken any more. */
  async close(): Promise<void> {
    await Promise.all([...this.takers].map((taker) => taker.close()));
  }

  private headersOf(job: string, trigger: string, schedule: Schedule): MsgHdrs {
    const head = headers();
    head.set('Nats-Schedule-Target', this.names.firing(job, trigger));
    if (schedule.kind === 'cron') {
      const { cron, timezone } = schedule;
      head.set('Nats-Schedule', cron.trim().split(/\s+/).length === 5 ? `0 ${cron}` : cron);
      head.set('Nats-Schedule-Time-Zone', timezone);
      return head;
    }
    const { everyMs } = schedule;
    if (everyMs % SECOND_MS !== 0) {
      const text = `job ${job} is due every ${everyMs} ms, and NATS counts in whole seconds; give a whole number of them`;
      throw new JobError('BUS_FAILED', text);
    }
    head.set('Nats-Schedule', `@every ${everyMs / SECOND_MS}s`);
    return head;
  }

  /** One that is there already goes on as it does. */
  private async put(subject: string, head: MsgHdrs): Promise<void> {
    const { manager, js } = this.calls;
    const there = await manager.streams.getMessage(this.names.firings, { last_by_subj: subject });
    const isSame = there !== null && HEADERS.every((name) => there.header.get(name) === head.get(name));
    if (isSame) return;
    try {
      await js.publish(subject, '', { headers: head });
    } catch (error) {
      if (!isInvalid(error)) throw error;
      const text = `NATS doesn't take the schedule ${head.get('Nats-Schedule')} ${head.get('Nats-Schedule-Time-Zone')} (${error.message}); see its fields and the name of its time zone`;
      throw new JobError('BUS_FAILED', text, { cause: error });
    }
  }

  private async remove(job: string, trigger: string): Promise<void> {
    for (const filter of [this.names.schedule(job, trigger), this.names.firing(job, trigger)])
      await this.calls.manager.streams.purge(this.names.firings, { filter });
  }

  private async triggersOf(job: string): Promise<readonly string[]> {
    const subjects_filter = this.names.schedule(job, '*');
    const { state } = await this.calls.manager.streams.info(this.names.firings, { subjects_filter });
    return Object.keys(state.subjects ?? {}).map((subject) => subject.slice(subject.lastIndexOf('.') + 1));
  }

  /** @throws JobError BUS_FAILED */
  private checkVersion(): void {
    if (this.options.hasSchedules) return;
    const { nats, link } = this.calls;
    const text = `NATS at ${link.server} is version ${nats.info?.version}, which has no message schedules; take 2.14 or later, or start jobs by hand`;
    throw new JobError('BUS_FAILED', text);
  }
}

/** JetStream's: its pattern or time zone can't be. */
const isInvalid = (error: unknown): error is JetStreamApiError =>
  error instanceof Error && error.message.includes('message schedule');

/** Takes firings until it is stopped; those of one job one behind the other. */
class FiringTaker {
  private readonly pull: NatsPull;
  private readonly unwatch: () => void;
  /** By job: the last one of it that is in hand. */
  private readonly running = new Map<string, Promise<void>>();
  private numRunning = 0;
  private isOver = false;

  constructor(
    private readonly calls: NatsCalls,
    private readonly names: NatsJobNames,
    private readonly silenceMs: number,
    private readonly handle: (firing: Firing) => Promise<void>,
  ) {
    const lost = (): void => {
      void this.pull.cancel();
      void this.prepare();
    };
    const from = { stream: names.firings, consumer: CONSUMER };
    this.pull = new NatsPull(calls, from, { hear: (each) => this.hear(each), expired: () => this.fill(), lost });
    this.unwatch = calls.link.watch({ up: lost, down: () => undefined, refused: () => undefined });
    void this.prepare();
  }

  /** What is in hand is over when it resolves. */
  async stop(): Promise<void> {
    await this.close();
    await Promise.all(this.running.values());
  }

  async close(): Promise<void> {
    this.isOver = true;
    this.unwatch();
    await this.pull.stop();
  }

  private async prepare(): Promise<void> {
    while (!this.isOver && this.calls.link.isUp) {
      try {
        await this.calls.manager.consumers.add(this.names.firings, {
          ...{ durable_name: CONSUMER, filter_subject: this.names.firing('*', '*'), ack_policy: AckPolicy.Explicit },
          ...{ ack_wait: nanos(this.silenceMs), max_deliver: -1, max_ack_pending: -1 },
        });
        this.fill();
        return;
      } catch {
        await delay(RETRY_MS, undefined, { ref: false });
      }
    }
  }

  private fill(): void {
    if (!this.isOver && this.numRunning < WIDTH) this.pull.want(WIDTH - this.numRunning);
  }

  private hear(message: HeldMessage): void {
    if (this.isOver) return message.again(0);
    const [job, trigger] = message.subject.split('.').slice(-2) as [string, string];
    // The server sends it in the second in which it is due, a little later.
    const dueMs = Math.floor(message.storedMs / SECOND_MS) * SECOND_MS;
    const before = this.running.get(job) ?? Promise.resolve();
    this.numRunning++;
    const run = before
      .then(() => this.settle({ job, trigger: Number(trigger), dueMs }, message))
      .finally(() => {
        this.numRunning--;
        if (this.running.get(job) === run) this.running.delete(job);
        this.fill();
      });
    this.running.set(job, run);
  }

  private async settle(firing: Firing, message: HeldMessage): Promise<void> {
    const timer = setInterval(() => message.working(), Math.floor(this.silenceMs / 4)).unref();
    try {
      await this.handle(firing);
      await this.calls.call(`the firing of ${firing.job}`, () => message.done());
    } catch {
      message.again(RETRY_MS);
    } finally {
      clearInterval(timer);
    }
  }
}
