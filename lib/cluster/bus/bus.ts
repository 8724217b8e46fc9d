/**
 * How instances and routers of one cluster hear of each other. What travels is state that is told anew, so that whoever missed something, or came late,
 * asks and knows all again; requests and rows never pass here.
 * Why: docs/decisions/cluster.md#the-bus-tells-state-and-loses-nothing-that-counts
 */
import type { BlockBatch } from '../base/block_events.js';
import type { ClusterError } from '../base/errors.js';
import type { InstanceRecord } from '../base/instance_record.js';
import type { LoadReport } from '../base/load_report.js';

/** Instances that a cluster has at most: those that come later are refused. */
export const MAX_INSTANCES = 1024;

/** `left`: it said so; `silent`: nothing was heard of it for too long. */
export type GoneWhy = 'left' | 'silent';

/** What somebody who watches is told, in this order of one instance: it is there, what it has, it is gone. */
export type BusEvent =
  /** An instance came, changed (its role, say), or was started anew: what was known of another incarnation is gone. */
  | { readonly kind: 'instance'; readonly record: InstanceRecord }
  | { readonly kind: 'gone'; readonly instance: string; readonly why: GoneWhy }
  /** None is older than the one before. */
  | { readonly kind: 'load'; readonly load: LoadReport }
  /** Each follows the one before, or begins with `cleared`: what was lost between them is asked for before the next one is told. */
  | { readonly kind: 'blocks'; readonly batch: BlockBatch }
  /** The bus itself can't be reached, and what is known stays in force; or it is there again. */
  | { readonly kind: 'bus'; readonly isUp: boolean; readonly reason: string }
  /** Somebody sent what can't be, and it is dropped. Told once a second of each at most. */
  | { readonly kind: 'refused'; readonly instance: string; readonly error: ClusterError };

/** Takes events, quickly: it holds up all that come after. What it throws is a bug, and ends the process. */
export type BusListener = (event: BusEvent) => void;

/** What an instance tells by. Nothing waits, and nothing throws: while the bus is down, what is told is dropped, and asked for when it is there again. */
export interface Membership {
  /** It changed: its role, or that it drains. Id and incarnation stay. */
  update(record: InstanceRecord): void;
  /** What it has in hand now. */
  report(load: LoadReport): void;
  /** What came to its prefix cache and went. */
  publish(batch: BlockBatch): void;
  /** It is no longer there, and those who watch know it. Idempotent. */
  leave(): Promise<void>;
}

/** What a member hears of others; never within a call of the bus. */
export interface MemberEvents {
  /** Somebody missed something: load and all blocks are to be told anew, beginning with `cleared`. Comes as often as somebody asks. */
  wanted(): void;
  /** Others don't see the instance: its id is somebody else's now, or the bus refuses what it tells. Null: they do again. */
  trouble(error: ClusterError | null): void;
}

/** A connection to a cluster's bus. */
export interface Bus {
  /**
   * An instance is there from now on.
   * @throws ClusterError INVALID_RECORD, BUS_FAILED or CLOSED
   */
  join(record: InstanceRecord, events: MemberEvents): Promise<Membership>;

  /** Tells of all instances that are there and of what comes; returns how to stop that. @throws ClusterError CLOSED */
  watch(listener: BusListener): () => void;

  /** Members that joined by it leave. Idempotent. */
  close(): Promise<void>;
}
