/** An instance on NATS: its key in the bucket, put again and again, and what it tells. Why: docs/decisions/cluster.md#who-is-there-is-who-puts-its-key-again */
import type { KV } from '@nats-io/kv';
import { causeText } from '../../../../base/foreign_text.js';
import type { BlockBatch } from '../../base/block_events.js';
import { ClusterError } from '../../base/errors.js';
import type { InstanceRecord } from '../../base/instance_record.js';
import type { LoadReport } from '../../base/load_report.js';
import type { MemberEvents, Membership } from '../bus.js';
import { taken } from '../member_errors.js';
import type { LinkWatcher, NatsLink } from './nats_link.js';
import { natsNames, type NatsNames } from './nats_names.js';
import { checkedHeartbeat, heartbeatText } from './nats_record.js';

/** Of which cluster, and how often it says that it is there. */
export interface NatsTimes {
  readonly name: string;
  readonly heartbeatMs: number;
  readonly ttlMs: number;
}

/** After a heartbeat that didn't get through. */
const RETRY_MS = 250;

/** Puts its key until it leaves, or somebody else has it. */
export class NatsMember implements Membership, LinkWatcher {
  private readonly names: NatsNames;
  private readonly stops: readonly (() => void)[];
  private numBatches = 0;
  /** Of its key; 0: it isn't there. */
  private revision = 0;
  private bucket: KV | null = null;
  private timer: NodeJS.Timeout | undefined;
  private beating: Promise<void> | null = null;
  private isDue = false;
  private isIn = false;
  private isOver = false;
  private isTroubled = false;

  constructor(
    private readonly link: NatsLink,
    private record: InstanceRecord,
    private readonly events: MemberEvents,
    private readonly times: NatsTimes,
  ) {
    this.names = natsNames(times.name);
    const stopAsking = link.subscribe(this.names.ask(record.id), () => this.wanted());
    this.stops = [stopAsking, link.watch(this)];
  }

  /** It is there, whoever had its id before. @throws ClusterError BUS_FAILED */
  async enter(): Promise<void> {
    try {
      this.bucket = await this.link.bucket(this.names.bucket, this.times.ttlMs);
      this.revision = await this.bucket.put(this.record.id, this.heartbeat);
    } catch (error) {
      this.end();
      throw this.refusal(error);
    }
    this.schedule(this.times.heartbeatMs);
    // Somebody may have asked before who joins could tell.
    setImmediate(() => {
      this.isIn = true;
      this.wanted();
    });
  }

  /** As {@link Membership.update}. */
  update(record: InstanceRecord): void {
    this.record = record;
    this.beat();
  }

  /** As {@link Membership.report}. */
  report(load: LoadReport): void {
    if (!this.isOver) this.link.publish(this.names.load(load.instance), JSON.stringify(load));
  }

  /** As {@link Membership.publish}. */
  publish(batch: BlockBatch): void {
    if (this.isOver) return;
    this.numBatches = batch.sequence + 1;
    this.link.publish(this.names.blocks(batch.instance), JSON.stringify(batch));
  }

  /** As {@link Membership.leave}. */
  async leave(): Promise<void> {
    if (this.isOver) return;
    this.end();
    await this.beating;
    if (!this.link.isUp || this.revision === 0) return; // its key vanishes by itself
    await this.bucket?.delete(this.record.id, { previousSeq: this.revision }).catch(() => undefined);
  }

  /** As {@link LinkWatcher.up}: the server may be another one, and know nothing. */
  up(): void {
    this.bucket = null;
    this.beat();
    this.wanted();
  }

  /** As {@link LinkWatcher.down}. */
  down(reason: string): void {
    clearTimeout(this.timer);
    const text = `${reason}, and so no router hears of this instance; they go on by what they know`;
    this.tell(new ClusterError('BUS_FAILED', text, { instance: this.record.id }));
  }

  /** As {@link LinkWatcher.refused}. */
  refused(error: ClusterError): void {
    this.tell(error);
  }

  private wanted(): void {
    if (this.isIn && !this.isOver) this.events.wanted();
  }

  private get heartbeat(): string {
    return heartbeatText({ record: this.record, numBatches: this.numBatches });
  }

  private schedule(ms: number): void {
    clearTimeout(this.timer);
    if (!this.isOver) this.timer = setTimeout(() => this.beat(), ms).unref();
  }

  /** One at a time. */
  private beat(): void {
    if (this.isOver || !this.link.isUp) return;
    this.isDue = true;
    this.beating ??= this.put().finally(() => (this.beating = null));
  }

  private async put(): Promise<void> {
    while (this.isDue && !this.isOver) {
      this.isDue = false;
      const isOld = this.bucket !== null;
      try {
        this.revision = await this.putOnce();
        this.tell(null);
        this.schedule(this.times.heartbeatMs);
      } catch (error) {
        this.bucket = null;
        this.isDue = isOld; // the key or the bucket may be other ones by now
        if (!isOld && this.link.isUp) this.tell(this.refusal(error)); // otherwise the link tells it
        this.schedule(RETRY_MS);
      }
    }
  }

  private async putOnce(): Promise<number> {
    const { id } = this.record;
    if (this.bucket === null) {
      const bucket = await this.link.bucket(this.names.bucket, this.times.ttlMs);
      this.revision = await this.ownRevision(bucket);
      this.bucket = bucket;
    }
    if (this.isOver) return 0;
    if (this.revision === 0) return this.bucket.create(id, this.heartbeat);
    return this.bucket.put(id, this.heartbeat, { previousSeq: this.revision });
  }

  /** Where its key is as this instance put it; 0: it isn't there. Ends where somebody else has it. */
  private async ownRevision(bucket: KV): Promise<number> {
    const { id, incarnation } = this.record;
    const entry = await bucket.get(id);
    if (entry?.operation !== 'PUT') return 0;
    const { record } = checkedHeartbeat(entry.string(), id);
    if (record.incarnation === incarnation) return entry.revision;
    this.end();
    this.events.trouble(taken(record));
    return 0;
  }

  private end(): void {
    this.isOver = true;
    clearTimeout(this.timer);
    for (const stop of this.stops) stop();
  }

  private tell(error: ClusterError | null): void {
    if (error === null && !this.isTroubled) return;
    this.isTroubled = error !== null;
    this.events.trouble(error);
  }

  private refusal(cause: unknown): ClusterError {
    const text = `instance ${this.record.id} can't say on NATS that it is there (${causeText(cause)}); see that JetStream has room there`;
    return new ClusterError('BUS_FAILED', text, { instance: this.record.id, cause });
  }
}
