/** What the benchmark tells its processes, and what they answer: plain data over Node's process channel. */
import type { Address, AllToAllStats } from '../../../comm/index.js';
import type { TimelineEvent } from '../../../lib/metrics/timeline.js';
import type { MeshOptions } from './transport.js';
import type { TrafficPhase, WireDtypes } from './wire.js';

/** How raw sockets receive: `naive` by 'data' events, `tuned` into one reused buffer (`onread`). */
export type RawKind = 'naive' | 'tuned';

/** Which end of raw sockets a process is. */
export interface RawEnd {
  readonly kind: RawKind;
  readonly rank: number;
  readonly size: number;
}

/** One rank's part of an all-to-all. */
export interface Workload {
  readonly tokens: number;
  readonly hidden: number;
  readonly topk: number;
  readonly experts: number;
  readonly alpha: number;
  readonly seed: number;
  readonly wire: WireDtypes;
  /** Paths of the plug-ins that bring its codecs. */
  readonly plugins?: string | undefined;
  /** Keeps a timeline. */
  readonly isTraced: boolean;
}

/** What a rank's all-to-all counted in the one dispatch and combine that checked it. */
export interface Prepared {
  /** Choices by the rank where their expert lives. */
  readonly selections: readonly number[];
  readonly stats: AllToAllStats;
  /** Bytes that this rank copied in it, by phase. */
  readonly copiedBytes: Readonly<Record<TrafficPhase, number>>;
}

/** One timed exchange of raw bytes. */
export interface RawPhase {
  readonly name: string;
  /** Bytes of a message [source][destination]. */
  readonly bytes: readonly (readonly number[])[];
  /** Messages per pair. */
  readonly count: number;
}

/** Work that all ranks do in lockstep, repeated. */
export type Task =
  | { readonly kind: 'all_to_all' }
  | { readonly kind: 'messages'; readonly bytes: number; readonly count: number }
  | { readonly kind: 'echo'; readonly bytes: number }
  | { readonly kind: 'exchange'; readonly phases: readonly RawPhase[]; readonly echoBytes?: number }
  /** Blocks of so many pairs of phases, back to back: no barrier between them. */
  | { readonly kind: 'pairs'; readonly count: number }
  | {
      readonly kind: 'raw_pairs';
      readonly count: number;
      readonly phases: readonly RawPhase[];
      readonly echoBytes: number;
    }
  | { readonly kind: 'overlap'; readonly layers: number; readonly computeMs: number };

/** What one call cost one rank, or a mean of that. Null: its transport doesn't count it. */
export interface CallCounts {
  /** Times that it slept until frames came. */
  readonly wakeUps: number;
  /** To sockets, or messages to threads. */
  readonly writes: number | null;
  /** Sent. */
  readonly frames: number;
  /** Payload memories made anew. */
  readonly allocations: number;
  /** Received payloads that were copied on arrival. */
  readonly copies: number | null;
  /** Of JavaScript's heap; below 0 where a collection ran. */
  readonly heapBytes: number;
}

/** By phase: microseconds of each repeat on one rank, and what was counted in it. */
export interface Samples {
  readonly us: Readonly<Record<string, readonly number[]>>;
  readonly counts?: Readonly<Record<string, readonly CallCounts[]>>;
}

/** Order → answer. `connect` comes after all ranks listen, `run` after all are connected. */
export interface RawOrders {
  readonly listen: { readonly order: RawEnd; readonly answer: number };
  readonly connect: { readonly order: { readonly addresses: readonly Address[] }; readonly answer: null };
  readonly run: { readonly order: { readonly task: Task; readonly iterations: number }; readonly answer: Samples };
}

/** `prepare` comes after all are connected, and before it runs the all-to-all. */
export interface RankOrders extends Omit<RawOrders, 'listen'> {
  readonly listen: { readonly order: MeshOptions; readonly answer: number };
  readonly prepare: { readonly order: Workload; readonly answer: Prepared };
  readonly stats: { readonly order: Record<string, never>; readonly answer: AllToAllStats };
  /** Of a traced workload, since it was last asked. */
  readonly timeline: { readonly order: Record<string, never>; readonly answer: readonly TimelineEvent[] };
}

/** Orders of the process that limits links; answers are the ports to dial instead, [source][destination]. */
export interface LinkOrders {
  readonly limit: {
    readonly order: { readonly mbit: number; readonly ports: readonly number[] };
    readonly answer: readonly (readonly number[])[];
  };
}

/** Orders by name: what a served process understands. */
export type Handlers<O extends { readonly [K in keyof O]: { order: unknown; answer: unknown } }> = {
  readonly [K in keyof O]: (order: O[K]['order']) => O[K]['answer'] | Promise<O[K]['answer']>;
};
