/**
 * Who is there, as one who watches a bus knows it: what came of what was heard, in order and without gaps. Pure: times are given, and what is to be told
 * or asked is handed over.
 */
import type { BlockBatch } from '../base/block_events.js';
import { ClusterError } from '../base/errors.js';
import type { InstanceRecord } from '../base/instance_record.js';
import type { LoadReport } from '../base/load_report.js';
import { BatchOrder, isWhole } from './batch_order.js';
import { MAX_INSTANCES, type BusListener, type GoneWhy } from './bus.js';

/** Before a question that nobody answered is asked again, and between two events of one that is refused. */
const AGAIN_MS = 1000;

/** What the roster wants of the bus. */
export interface RosterOptions {
  readonly tell: BusListener;
  /** Has an instance tell its load and all blocks anew. */
  readonly ask: (instance: string) => void;
  /** Who wasn't heard of for so long is gone. Default: nobody is, without leaving. */
  readonly ttlMs?: number;
}

/** What is known of an instance. */
interface Known {
  record: InstanceRecord;
  heardMs: number;
  /** When all blocks were asked for; −Infinity: since then they came. */
  askedMs: number;
  /** Of the load that was told last. */
  loadSequence: number;
  readonly order: BatchOrder;
  /** Batches that it had told at its last heartbeat: by the next one they came, or are lost. */
  numBatches: number;
}

/** Instances that are there. */
export class Roster {
  private readonly known = new Map<string, Known>();
  /** Who was refused, and when that was told. */
  private readonly refused = new Map<string, number>();

  constructor(private readonly options: RosterOptions) {}

  /** Ids of those that are there. */
  get instances(): readonly string[] {
    return [...this.known.keys()];
  }

  /**
   * An instance says that it is there. `numBatches`: how many it has told so far; those that are still missing at its next heartbeat are asked for.
   */
  hear(record: InstanceRecord, nowMs: number, numBatches = 0): void {
    const before = this.known.get(record.id);
    if (before?.record.incarnation !== record.incarnation) return this.meet(record, nowMs);
    before.heardMs = nowMs;
    if (JSON.stringify(before.record) !== JSON.stringify(record)) {
      before.record = record;
      this.options.tell({ kind: 'instance', record });
    }
    if (before.askedMs > -Infinity || before.order.isBehind(before.numBatches)) this.ask(before, nowMs);
    before.numBatches = numBatches;
  }

  /** Of an instance that is there; what is older than what was told is dropped. */
  load(load: LoadReport): void {
    const known = this.of(load);
    if (known === undefined || load.sequence <= known.loadSequence) return;
    known.loadSequence = load.sequence;
    this.options.tell({ kind: 'load', load });
  }

  /** Of an instance that is there. */
  blocks(batch: BlockBatch, nowMs: number): void {
    const known = this.of(batch);
    if (known === undefined) return;
    const fate = known.order.take(batch);
    if (fate === 'gap') this.ask(known, nowMs);
    if (fate !== 'next') return;
    if (isWhole(batch)) known.askedMs = -Infinity;
    this.options.tell({ kind: 'blocks', batch });
  }

  /** An instance is gone; another incarnation than the one that is there says nothing. */
  leave({ id, incarnation }: Pick<InstanceRecord, 'id' | 'incarnation'>, why: GoneWhy = 'left'): void {
    if (this.known.get(id)?.record.incarnation === incarnation) this.remove(id, why);
  }

  /** Whatever incarnation is there is gone; nothing happens where none is. */
  remove(instance: string, why: GoneWhy): void {
    if (this.known.delete(instance)) this.options.tell({ kind: 'gone', instance, why });
  }

  /** An instance was asked for all blocks, and they didn't come yet. */
  isAsking(instance: string): boolean {
    return (this.known.get(instance)?.askedMs ?? -Infinity) > -Infinity;
  }

  /** What came from there can't be. */
  refuse(instance: string, error: ClusterError, nowMs: number): void {
    const before = this.refused.get(instance) ?? -Infinity;
    if (nowMs - before < AGAIN_MS) return;
    if (this.refused.size >= MAX_INSTANCES) this.refused.clear();
    this.refused.set(instance, nowMs);
    this.options.tell({ kind: 'refused', instance, error });
  }

  /** Who wasn't heard of for too long is gone. */
  expire(nowMs: number): void {
    const { ttlMs = Infinity } = this.options;
    for (const [id, { heardMs }] of this.known) if (nowMs - heardMs >= ttlMs) this.remove(id, 'silent');
  }

  /** The bus is there again: everybody has the time of one who was just heard of, and tells anew. */
  resume(nowMs: number): void {
    for (const known of this.known.values()) {
      known.heardMs = nowMs;
      this.ask(known, nowMs);
    }
  }

  private meet(record: InstanceRecord, nowMs: number): void {
    if (!this.known.has(record.id) && this.known.size >= MAX_INSTANCES) {
      const text = `${MAX_INSTANCES} instances are there already, and no more can; end some, or give others a cluster.name of their own`;
      return this.refuse(record.id, new ClusterError('INVALID_RECORD', text, { instance: record.id }), nowMs);
    }
    const fresh = { order: new BatchOrder(), loadSequence: -1, numBatches: 0 };
    const known: Known = { record, heardMs: nowMs, askedMs: -Infinity, ...fresh };
    this.known.set(record.id, known);
    this.options.tell({ kind: 'instance', record });
    this.ask(known, nowMs);
  }

  private of({ instance, incarnation }: Pick<BlockBatch, 'instance' | 'incarnation'>): Known | undefined {
    const known = this.known.get(instance);
    return known?.record.incarnation === incarnation ? known : undefined;
  }

  private ask(known: Known, nowMs: number): void {
    if (known.record.kind === 'foreign' || nowMs - known.askedMs < AGAIN_MS) return;
    known.askedMs = nowMs;
    this.options.ask(known.record.id);
  }
}
