/** What an instance tells over HTTP, as server-sent events: its record, load and blocks whole, and then what changes. */
import { Readable } from 'node:stream';
import type { BlockBatch } from '../base/block_events.js';
import type { InstanceRecord } from '../base/instance_record.js';
import type { LoadReport } from '../base/load_report.js';
import type { Membership } from './bus.js';
import type { InstanceTeller } from './instance_teller.js';

/** Names of events, with what their data is as JSON. `gone`: the instance leaves, and says nothing more. */
export interface InstanceMessages {
  readonly record: InstanceRecord;
  readonly load: LoadReport;
  readonly blocks: BlockBatch;
  readonly gone: Readonly<Record<string, never>>;
}

/** How many may follow, and how far they may fall behind. */
export interface InstanceEventsOptions {
  /** Default 16. */
  readonly maxReaders?: number;
  /** Bytes that wait for a reader; one that is further behind is dropped, and gets everything when it comes again. Default 8 MiB, and 64 for each KV block. */
  readonly maxBehindBytes?: number;
  /** Between two signs of life where nothing else is told. Default 1000. */
  readonly heartbeatMs?: number;
}

const DEFAULTS = { maxReaders: 16, heartbeatMs: 1000 } as const;

/** A comment: it says that there is still somebody. */
const HEARTBEAT = Buffer.from(':\n\n');

/** Those who follow an instance: a membership of its teller. */
export class InstanceEvents implements Membership {
  private readonly readers = new Set<Readable>();
  private readonly maxReaders: number;
  private readonly maxBehindBytes: number;
  private readonly timer: NodeJS.Timeout;
  private isOver = false;

  constructor(
    private readonly teller: InstanceTeller,
    options: InstanceEventsOptions = {},
  ) {
    const { maxReaders, heartbeatMs, maxBehindBytes } = { ...DEFAULTS, ...options };
    this.maxReaders = maxReaders;
    this.maxBehindBytes = maxBehindBytes ?? 8 * 2 ** 20 + 64 * teller.record.numKvBlocks;
    teller.add(this);
    this.timer = setInterval(() => this.send(HEARTBEAT), heartbeatMs).unref();
  }

  /** How many follow. */
  get numReaders(): number {
    return this.readers.size;
  }

  /** Text of events from now on, until its reader destroys it or the instance leaves; null: too many follow already, or it left. */
  open(): Readable | null {
    if (this.isOver || this.readers.size >= this.maxReaders) return null;
    const reader = new Readable({ read: () => undefined });
    this.readers.add(reader);
    reader.once('close', () => this.readers.delete(reader));
    reader.push(frameOf('record', this.teller.record));
    this.teller.wanted();
    return reader;
  }

  /** As {@link Membership.update}. */
  update(record: InstanceRecord): void {
    this.send(frameOf('record', record));
  }

  /** As {@link Membership.report}. */
  report(load: LoadReport): void {
    this.send(frameOf('load', load));
  }

  /** As {@link Membership.publish}. */
  publish(batch: BlockBatch): void {
    this.send(frameOf('blocks', batch));
  }

  /** As {@link Membership.leave}: all streams end. */
  leave(): Promise<void> {
    if (this.isOver) return Promise.resolve();
    this.isOver = true;
    clearInterval(this.timer);
    this.send(frameOf('gone', {}));
    for (const reader of this.readers) reader.push(null);
    this.readers.clear();
    return Promise.resolve();
  }

  private send(frame: Buffer): void {
    for (const reader of this.readers) {
      if (reader.readableLength > this.maxBehindBytes) reader.destroy();
      else reader.push(frame);
    }
  }
}

const frameOf = <Name extends keyof InstanceMessages>(name: Name, data: InstanceMessages[Name]): Buffer =>
  Buffer.from(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
