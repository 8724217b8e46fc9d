/**
 * Who watches a cluster on NATS: the bucket says who is there, subjects what they have. While the connection is down, or nobody can say who is there, what is
 * known stays in force.
 * Why: docs/decisions/cluster.md#who-is-there-is-who-puts-its-key-again
 */
import type { KV, KvWatchEntry } from '@nats-io/kv';
import { printable, causeText } from '../../../../base/foreign_text.js';
import { ClusterError } from '../../base/errors.js';
import type { BusListener } from '../bus.js';
import { checkedBatch, checkedLoad, messageOf, refusal } from '../messages.js';
import type { LinkWatcher, NatsLink } from './nats_link.js';
import type { NatsTimes } from './nats_member.js';
import { instanceOf, natsNames } from './nats_names.js';
import { checkedHeartbeat } from './nats_record.js';
import { Roster } from '../roster.js';

/** After a bucket that couldn't be watched. */
const RETRY_MS = 500;

/** As the bucket's values come. */
type KvEntries = Awaited<ReturnType<KV['watch']>>;

/** Tells its listener until it is stopped. */
export class NatsWatch implements LinkWatcher {
  private readonly roster: Roster;
  private readonly stops: readonly (() => void)[];
  private readonly timer: NodeJS.Timeout;
  /** Of the keys that were heard last: a value that comes once more is no sign of life. */
  private readonly revisions = new Map<string, number>();
  /** Of the bucket as it is watched now. Null: it isn't. */
  private entries: KvEntries | null = null;
  private opening: Promise<void> | null = null;
  /** Somebody was heard of then, or the bucket was looked at. */
  private heardMs = performance.now();
  private isUp = true;
  private isOver = false;

  constructor(
    private readonly link: NatsLink,
    private readonly listener: BusListener,
    private readonly times: NatsTimes,
  ) {
    const { name, ttlMs } = times;
    const names = natsNames(name);
    this.roster = new Roster({ tell: listener, ask: (id) => link.publish(names.ask(id), ''), ttlMs });
    const heard = (subject: string, take: (value: unknown, from: string) => void) =>
      link.subscribe(subject, (from, text) => this.take(instanceOf(from), (id) => take(messageOf(text, id), id)));
    this.stops = [
      heard(names.load('*'), (value, id) => this.roster.load(own(checkedLoad(value, id), id))),
      heard(names.blocks('*'), (value, id) => this.roster.blocks(own(checkedBatch(value, id), id), performance.now())),
      link.watch(this),
    ];
    this.timer = setInterval(() => this.check(), Math.max(Math.floor(ttlMs / 5), 20)).unref();
    this.open();
  }

  /** Nothing is told any more. Idempotent. */
  stop(): void {
    this.isOver = true;
    clearInterval(this.timer);
    for (const stop of this.stops) stop();
    this.entries?.stop();
    this.entries = null;
  }

  /** As {@link LinkWatcher.up}. */
  up(): void {
    this.revisions.clear(); // the server may be another one
    this.open();
  }

  /** As {@link LinkWatcher.down}. */
  down(reason: string): void {
    this.tellUp(false, reason);
  }

  /** As {@link LinkWatcher.refused}. */
  refused({ reason }: ClusterError): void {
    this.listener({ kind: 'bus', isUp: this.isUp, reason });
  }

  /** Looks at the bucket, from the values that it has now on. */
  private open(): void {
    this.opening ??= this.look().finally(() => (this.opening = null));
  }

  private async look(): Promise<void> {
    const { name, ttlMs } = this.times;
    while (!this.isOver && this.link.isUp) {
      try {
        const bucket = await this.link.bucket(natsNames(name).bucket, ttlMs);
        this.begin(await bucket.watch());
        return;
      } catch (error) {
        this.tellUp(false, `${this.link.server} doesn't say who is there (${causeText(error)})`);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
      }
    }
  }

  private begin(entries: KvEntries): void {
    this.entries?.stop();
    this.entries = entries;
    if (this.isOver) return entries.stop();
    void this.follow(entries);
    this.heardMs = performance.now();
    this.tellUp(true, `${this.link.server} says who is there`);
  }

  private async follow(entries: KvEntries): Promise<void> {
    try {
      for await (const entry of entries) this.hear(entry);
    } catch {
      // It is looked at again, as where it ends.
    }
    if (this.entries === entries) this.open();
  }

  private hear(entry: KvWatchEntry): void {
    const { key, operation, revision } = entry;
    if (this.isOver || this.revisions.get(key) === revision) return;
    this.heardMs = performance.now();
    if (operation !== 'PUT') {
      this.revisions.delete(key);
      return this.roster.remove(key, operation === 'DEL' ? 'left' : 'silent');
    }
    this.take(key, () => {
      const { record, numBatches } = checkedHeartbeat(entry.string(), key);
      this.roster.hear(record, this.heardMs, numBatches);
      this.revisions.set(key, revision);
    });
  }

  /** Takes a message of a peer; one that can't be is named, and dropped. */
  private take(from: string, act: (from: string) => void): void {
    try {
      act(from);
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      this.roster.refuse(printable(from), error, performance.now());
    }
  }

  /** Nobody is given up before the bucket was asked where all are silent: it may be that which can't be heard. */
  private check(): void {
    if (!this.isUp || !this.link.isUp) return;
    const nowMs = performance.now();
    if (nowMs - this.heardMs > this.times.ttlMs / 2) this.open();
    if (this.opening === null) this.roster.expire(nowMs);
  }

  private tellUp(isUp: boolean, reason: string): void {
    if (isUp === this.isUp) return;
    this.isUp = isUp;
    this.listener({ kind: 'bus', isUp, reason });
    if (isUp) this.roster.resume(performance.now());
  }
}

/** A message of somebody is about nobody else. */
function own<T extends { readonly instance: string }>(message: T, from: string): T {
  if (message.instance === from) return message;
  throw refusal(from, `what ${printable(message.instance)} would have to tell`, 'see who may publish there');
}
