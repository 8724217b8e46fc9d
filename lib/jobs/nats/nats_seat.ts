/** A worker's place: a key that it puts again and again, and that vanishes when it doesn't. */
import type { KV } from '@nats-io/kv';
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { JobError } from '../base/errors.js';
import type { Seat, WorkerRecord } from '../base/job_bus.js';
import type { NatsCalls } from './nats_calls.js';
import { isOutrun } from './nats_records.js';

/** How often it says that it is there, and how long it may not. */
export interface RosterTimes {
  readonly heartbeatMs: number;
  readonly ttlMs: number;
}

/** As a key's value has it. */
export interface SeatValue {
  readonly record: WorkerRecord;
  /** Of the process that put it: another one with the same id is another worker. */
  readonly owner: string;
}

/** Of a worker. */
export const seatKey = (id: string): string => `worker.${id}`;

/** As {@link Seat}. */
export class NatsSeat implements Seat {
  private readonly owner = randomUUID();
  private revision = 0;
  private timer: NodeJS.Timeout | undefined;
  private beating: Promise<void> | null = null;
  private isDue = false;
  private isOver = false;

  constructor(
    private readonly calls: NatsCalls,
    private readonly bucket: KV,
    private record: WorkerRecord,
    private readonly times: RosterTimes,
  ) {}

  /** Takes the place; one whose worker says nothing for its time is free. @throws JobError WORKER_ID_TAKEN, BUS_FAILED */
  async enter(): Promise<void> {
    const { id } = this.record;
    const end = performance.now() + this.times.ttlMs * 2;
    let seen: number | null = null;
    for (;;) {
      const there = await this.calls.call(`worker ${id}`, () => this.bucket.get(seatKey(id)));
      if (there?.operation !== 'PUT') {
        if (await this.claim()) break;
      } else {
        const isAlive = (seen !== null && there.revision !== seen) || performance.now() > end;
        if (isAlive) throw taken(there.json<SeatValue>());
        seen = there.revision;
      }
      await delay(this.times.heartbeatMs / 4, undefined, { ref: false });
    }
    this.schedule();
  }

  /** As {@link Seat.update}. */
  update(record: WorkerRecord): void {
    this.record = record;
    this.beat();
  }

  /** As {@link Seat.leave}. */
  async leave(): Promise<void> {
    if (this.isOver) return;
    this.end();
    await this.beating;
    if (!this.calls.link.isUp || this.revision === 0) return; // its key vanishes by itself
    await this.bucket.delete(seatKey(this.record.id), { previousSeq: this.revision }).catch(() => undefined);
  }

  /** Nothing is said any more. */
  end(): void {
    this.isOver = true;
    clearTimeout(this.timer);
  }

  private get value(): string {
    return JSON.stringify({ record: this.record, owner: this.owner } satisfies SeatValue);
  }

  /** False: somebody else was faster. */
  private claim(): Promise<boolean> {
    const { id } = this.record;
    return this.calls.call(`worker ${id}`, async () => {
      try {
        this.revision = await this.bucket.create(seatKey(id), this.value);
        return true;
      } catch (error) {
        if (isOutrun(error)) return this.isOwn();
        throw error;
      }
    });
  }

  private schedule(): void {
    clearTimeout(this.timer);
    if (!this.isOver) this.timer = setTimeout(() => this.beat(), this.times.heartbeatMs).unref();
  }

  /** One at a time. */
  private beat(): void {
    if (this.isOver) return;
    this.isDue = true;
    this.beating ??= this.put().finally(() => (this.beating = null));
  }

  private async put(): Promise<void> {
    while (this.isDue && !this.isOver) {
      this.isDue = false;
      try {
        if (this.calls.link.isUp) await this.putOnce();
      } catch {
        // The next one may get through.
      }
      this.schedule();
    }
  }

  private async putOnce(): Promise<void> {
    const key = seatKey(this.record.id);
    try {
      this.revision = await this.bucket.put(key, this.value, { previousSeq: this.revision });
    } catch (error) {
      if (!isOutrun(error)) throw error;
      // It was silent for too long, or a put of its own got through unheard.
      if (!(await this.isOwn())) this.revision = await this.bucket.create(key, this.value);
    }
  }

  private async isOwn(): Promise<boolean> {
    const there = await this.bucket.get(seatKey(this.record.id));
    if (there?.operation !== 'PUT' || there.json<SeatValue>().owner !== this.owner) return false;
    this.revision = there.revision;
    return true;
  }
}

function taken({ record: { id, host, pid } }: SeatValue): JobError {
  const text = `worker ${id} is there already, as process ${pid} of ${host}; give each a name of its own, or none`;
  return new JobError('WORKER_ID_TAKEN', text);
}
