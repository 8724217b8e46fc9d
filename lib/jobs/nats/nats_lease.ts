/** One leads: whoever has a key that vanishes when it isn't put again. Why: docs/decisions/jobs.md#who-leads-decides-and-a-stale-leader-writes-nothing */
import type { KV } from '@nats-io/kv';
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { NatsCalls } from './nats_calls.js';
import { isOutrun } from './nats_records.js';
import type { RosterTimes } from './nats_seat.js';

const KEY = 'leader';
/** Of the time that the key lives: who couldn't put it for so long stops before another one may begin. */
const SAFE_SHARE = 0.6;

/** Leads whenever it can. */
export class NatsLease {
  private readonly owner: string;
  private revision = 0;
  /** The key is there until then at least. */
  private safeUntil = 0;

  constructor(
    private readonly calls: NatsCalls,
    private readonly bucket: KV,
    id: string,
    private readonly times: RosterTimes,
  ) {
    this.owner = `${id} ${randomUUID()}`;
  }

  /** As {@link Roster.campaign}. */
  async campaign(lead: (until: AbortSignal) => Promise<void>, until: AbortSignal): Promise<void> {
    const ended = AbortSignal.any([until, this.calls.ended]);
    while (!ended.aborted) {
      if (await this.claim()) await this.leadOnce(lead, ended);
      await pause(this.times.heartbeatMs, ended);
    }
  }

  private async leadOnce(lead: (until: AbortSignal) => Promise<void>, ended: AbortSignal): Promise<void> {
    const lost = new AbortController();
    const renewing = this.renew(lost);
    try {
      await lead(AbortSignal.any([lost.signal, ended]));
    } catch {
      // It is tried again, here or elsewhere.
    }
    lost.abort();
    await renewing;
    if (this.calls.link.isUp && this.revision > 0)
      await this.bucket.delete(KEY, { previousSeq: this.revision }).catch(() => undefined);
    this.revision = 0;
  }

  private async claim(): Promise<boolean> {
    if (!this.calls.link.isUp) return false;
    const begun = performance.now();
    try {
      this.revision = await this.bucket.create(KEY, this.owner);
    } catch (error) {
      if (!isOutrun(error) || !(await this.isOwn().catch(() => false))) return false;
    }
    this.safeUntil = begun + this.times.ttlMs * SAFE_SHARE;
    return true;
  }

  /** Until it is lost, by the server's word or by time. */
  private async renew(lost: AbortController): Promise<void> {
    const everyMs = Math.min(this.times.heartbeatMs, this.times.ttlMs / 5);
    for (;;) {
      await pause(everyMs, lost.signal);
      if (lost.signal.aborted) return;
      const tooLate = delay(Math.max(this.safeUntil - performance.now(), 0), false, { ref: false });
      const isLost = await Promise.race([this.putOnce(), tooLate]).catch(() => false);
      if (isLost || performance.now() > this.safeUntil) lost.abort();
    }
  }

  /** True: somebody else has it. */
  private async putOnce(): Promise<boolean> {
    if (!this.calls.link.isUp) return false;
    const begun = performance.now();
    try {
      this.revision = await this.bucket.put(KEY, this.owner, { previousSeq: this.revision });
    } catch (error) {
      if (!isOutrun(error)) throw error;
      if (!(await this.isOwn())) return true;
    }
    this.safeUntil = begun + this.times.ttlMs * SAFE_SHARE;
    return false;
  }

  private async isOwn(): Promise<boolean> {
    const there = await this.bucket.get(KEY);
    if (there?.operation !== 'PUT' || there.string() !== this.owner) return false;
    this.revision = there.revision;
    return true;
  }
}

/** Ends early with the signal. */
const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  delay(ms, undefined, { signal, ref: false }).catch(() => undefined);
