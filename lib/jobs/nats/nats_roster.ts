/** Who is there, as a key-value bucket whose keys vanish. */
import type { JsMsg } from '@nats-io/jetstream';
import type { KV } from '@nats-io/kv';
import type { Roster, Seat, WorkerRecord } from '../base/job_bus.js';
import type { NatsCalls } from './nats_calls.js';
import { NatsFollower } from './nats_follower.js';
import { keyStream, keySubject } from './nats_job_names.js';
import { NatsLease } from './nats_lease.js';
import { isRemoval } from './nats_records.js';
import { NatsSeat, seatKey, type RosterTimes, type SeatValue } from './nats_seat.js';

/** As {@link Roster}. */
export class NatsRoster implements Roster {
  private readonly seats = new Set<NatsSeat>();

  constructor(
    private readonly calls: NatsCalls,
    private readonly bucket: KV,
    private readonly name: string,
    private readonly times: RosterTimes,
  ) {}

  /** As {@link Roster.enter}. */
  async enter(record: WorkerRecord): Promise<Seat> {
    this.calls.checkOpen();
    const seat = new NatsSeat(this.calls, this.bucket, record, this.times);
    await seat.enter();
    this.seats.add(seat);
    return seat;
  }

  /** As {@link Roster.watch}. */
  watch(listener: (workers: readonly WorkerRecord[]) => void): () => void {
    this.calls.checkOpen();
    return new WorkerWatch(this.calls, this.name, this.times.ttlMs, listener).stop;
  }

  /** As {@link Roster.campaign}. */
  async campaign(id: string, lead: (until: AbortSignal) => Promise<void>, until: AbortSignal): Promise<void> {
    this.calls.checkOpen();
    await new NatsLease(this.calls, this.bucket, id, this.times).campaign(lead, until);
  }

  /** All that are there leave. */
  async close(): Promise<void> {
    await Promise.all([...this.seats].map((seat) => seat.leave()));
  }
}

/** Tells who is there until it is stopped. */
class WorkerWatch {
  private readonly workers = new Map<string, WorkerRecord>();
  /** Those whose keys went while the bus was down: they come back, or are gone after their time. */
  private readonly doubted = new Map<string, NodeJS.Timeout>();
  private readonly follower: NatsFollower;
  private told: string | null = null;
  private isReady = false;
  private trustMs = 0;

  constructor(
    calls: NatsCalls,
    bucket: string,
    private readonly ttlMs: number,
    private readonly listener: (workers: readonly WorkerRecord[]) => void,
  ) {
    const followed = { stream: keyStream(bucket), subjects: [keySubject(bucket, seatKey('*'))], from: 'last' as const };
    this.follower = new NatsFollower(calls, followed, {
      begin: () => {
        // Behind an outage, keys are too old although their workers live.
        if (this.isReady) this.trustMs = performance.now() + ttlMs;
      },
      hear: (message) => this.hear(message),
      ready: () => {
        this.isReady = true;
        this.tell();
      },
    });
  }

  readonly stop = (): void => {
    this.follower.stop();
    for (const timer of this.doubted.values()) clearTimeout(timer);
  };

  private hear(message: JsMsg): void {
    const id = message.subject.slice(message.subject.lastIndexOf('.') + 1);
    clearTimeout(this.doubted.get(id));
    if (!isRemoval(message)) this.workers.set(id, message.json<SeatValue>().record);
    else if (message.headers?.has('Nats-Marker-Reason') === true && performance.now() < this.trustMs)
      return void this.doubted.set(id, setTimeout(() => this.remove(id), this.ttlMs).unref());
    else this.workers.delete(id);
    this.tell();
  }

  private remove(id: string): void {
    this.workers.delete(id);
    this.tell();
  }

  /** What is new. */
  private tell(): void {
    if (!this.isReady) return;
    const workers = [...this.workers.values()];
    const text = JSON.stringify(workers);
    if (text === this.told) return;
    this.told = text;
    this.listener(workers);
  }
}
