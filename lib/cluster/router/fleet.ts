/** The instances that a router knows: what the bus tells of them goes to the table, by which requests are routed, and to those who ask them. */
import type { Bus, BusEvent } from '../bus/bus.js';
import type { InstanceRecord } from '../base/instance_record.js';
import type { RoutingTable } from '../routing/routing_table.js';
import type { Logger } from 'pino';
import type { Upstreams } from './upstream/upstreams.js';

/** What knows them. */
export interface FleetParts {
  readonly bus: Pick<Bus, 'watch'>;
  readonly table: RoutingTable;
  readonly upstreams: Upstreams;
  readonly log: Logger;
  /** An instance ends soon: what runs there is to move. Told again whenever it says what runs there. */
  readonly draining: (record: InstanceRecord) => void;
}

/** Follows the bus until it is told to stop. */
export class Fleet {
  private readonly records = new Map<string, InstanceRecord>();
  private readonly unwatch: () => void;

  constructor(private readonly parts: FleetParts) {
    this.unwatch = parts.bus.watch((event) => this.hear(event));
  }

  /** By their ids, ascending. */
  get all(): readonly InstanceRecord[] {
    return [...this.records.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Undefined: nobody of that name is there. */
  get(id: string): InstanceRecord | undefined {
    return this.records.get(id);
  }

  /** Instances stay as they are known. Idempotent. */
  close(): void {
    this.unwatch();
  }

  private hear(event: BusEvent): void {
    const { table, upstreams, log } = this.parts;
    switch (event.kind) {
      case 'instance':
        return this.join(event.record);
      case 'gone':
        log.info({ instance: event.instance, why: event.why }, 'an instance is gone');
        this.records.delete(event.instance);
        table.leave(event.instance);
        upstreams.remove(event.instance);
        return;
      case 'load':
        table.report(event.load);
        return this.tellDraining(event.load.instance);
      case 'blocks':
        return void table.apply(event.batch);
      case 'bus':
        if (event.isUp) log.info({ reason: event.reason }, 'the bus is there');
        else log.warn({ reason: event.reason }, 'the bus can’t be reached; what is known stays in force');
        return;
      case 'refused':
        log.warn({ instance: event.instance, reason: event.error.message }, 'an instance tells what can’t be');
        return;
    }
  }

  private join(record: InstanceRecord): void {
    const { table, upstreams, log } = this.parts;
    const before = this.records.get(record.id);
    this.records.set(record.id, record);
    table.join(record);
    table.setHealthy(record.id, upstreams.set(record).isHealthy);
    if (before?.incarnation !== record.incarnation) {
      log.info(
        { instance: record.id, url: record.url, role: record.role, model: record.model },
        'an instance is there',
      );
    }
    this.tellDraining(record.id);
  }

  private tellDraining(id: string): void {
    const record = this.records.get(id);
    if (record?.isDraining === true) this.parts.draining(record);
  }
}
