/** The bus within one process: a router's, which follows instances over HTTP (instance_follower.ts), or that of tests. */
import type { BlockBatch } from '../base/block_events.js';
import { ClusterError } from '../base/errors.js';
import type { InstanceRecord } from '../base/instance_record.js';
import type { LoadReport } from '../base/load_report.js';
import { MAX_INSTANCES, type Bus, type GoneWhy, type BusListener, type MemberEvents, type Membership } from './bus.js';
import { taken } from './member_errors.js';
import { checkedRecord } from './messages.js';
import { Roster } from './roster.js';

/** What the bus needs besides itself. */
export interface LocalBusOptions {
  /** Milliseconds that never go back. Default: the process's. */
  readonly clock?: () => number;
}

/** Tells all who watch at once, in the call of who tells. */
export class LocalBus implements Bus {
  private readonly members = new Map<string, LocalMember>();
  private readonly rosters = new Set<Roster>();
  private readonly clock: () => number;
  private isClosed = false;

  constructor({ clock = () => performance.now() }: LocalBusOptions = {}) {
    this.clock = clock;
  }

  /** As {@link Bus.join}. */
  join(record: InstanceRecord, events: MemberEvents): Promise<Membership> {
    return new Promise((resolve) => resolve(this.add(record, events)));
  }

  /** As {@link Bus.join}, at once. @throws ClusterError INVALID_RECORD or CLOSED */
  add(given: InstanceRecord, events: MemberEvents): LocalMember {
    this.checkOpen();
    const record = checkedRecord(given, given.id);
    const before = this.members.get(record.id);
    if (before === undefined && this.members.size >= MAX_INSTANCES) {
      throw new ClusterError('INVALID_RECORD', `${MAX_INSTANCES} instances are there already; end some first`);
    }
    if (before !== undefined && before.events !== events) setImmediate(() => before.events.trouble(taken(record)));
    const member = new LocalMember(this, record, events);
    this.members.set(record.id, member);
    this.say(member, (roster, nowMs) => roster.hear(record, nowMs));
    return member;
  }

  /** As {@link Bus.watch}. */
  watch(listener: BusListener): () => void {
    this.checkOpen();
    // An answer may be on its way already.
    const ask = (id: string): unknown =>
      setImmediate(() => roster.isAsking(id) && this.members.get(id)?.events.wanted());
    const roster: Roster = new Roster({ tell: listener, ask });
    this.rosters.add(roster);
    for (const { record } of this.members.values()) roster.hear(record, this.clock());
    return () => void this.rosters.delete(roster);
  }

  /** As {@link Bus.close}. */
  close(): Promise<void> {
    this.isClosed = true;
    for (const member of this.members.values()) this.drop(member);
    this.rosters.clear();
    return Promise.resolve();
  }

  /** A member says something, unless its id is another's by now. */
  say(member: LocalMember, what: (roster: Roster, nowMs: number) => void): void {
    if (this.members.get(member.record.id) !== member) return;
    for (const roster of this.rosters) what(roster, this.clock());
  }

  /** A member is gone. */
  drop(member: LocalMember, why: GoneWhy = 'left'): void {
    this.say(member, (roster) => roster.leave(member.record, why));
    if (this.members.get(member.record.id) === member) this.members.delete(member.record.id);
  }

  private checkOpen(): void {
    if (this.isClosed) throw new ClusterError('CLOSED', 'the bus was closed; make another');
  }
}

/** An instance of this process, or one that somebody here speaks for. */
export class LocalMember implements Membership {
  constructor(
    private readonly bus: LocalBus,
    public record: InstanceRecord,
    readonly events: MemberEvents,
  ) {}

  /** As {@link Membership.update}. */
  update(record: InstanceRecord): void {
    this.record = record;
    this.bus.say(this, (roster, nowMs) => roster.hear(record, nowMs));
  }

  /** As {@link Membership.report}. */
  report(load: LoadReport): void {
    this.bus.say(this, (roster) => roster.load(load));
  }

  /** As {@link Membership.publish}. */
  publish(batch: BlockBatch): void {
    this.bus.say(this, (roster, nowMs) => roster.blocks(batch, nowMs));
  }

  /** As {@link Membership.leave}. */
  leave(): Promise<void> {
    this.bus.drop(this);
    return Promise.resolve();
  }

  /** Who speaks for an instance elsewhere hears nothing of it any more. Idempotent. */
  lose(): void {
    this.bus.drop(this, 'silent');
  }
}
