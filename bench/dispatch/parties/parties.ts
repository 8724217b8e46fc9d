/** Who is measured: ranks over the transport, and two kinds of raw sockets between as many processes. */
import { randomBytes } from 'node:crypto';
import { createThreadSeats, type Address, type AllToAllStats } from '../../../comm/index.js';
import type { TimelineEvent } from '../../../lib/metrics/timeline.js';
import type { LinkOrders, Prepared, RankOrders, RawKind, RawOrders, Samples, Task, Workload } from '../base/orders.js';
import { ProcessGroup } from './process_group.js';
import { startProcess, startThread, type Runner } from './runner.js';
import type { Transport } from '../base/transport.js';

export const PARTIES = ['mesh', 'naive', 'tuned'] as const;
/** `mesh`: the transport under test; `naive` and `tuned`: raw sockets, see {@link RawKind}. */
export type PartyName = (typeof PARTIES)[number];

/** How many ranks there are, over what, and the limits of their mesh. */
export interface PartiesOptions {
  readonly ranks: number;
  readonly transport: Transport;
  readonly ioThread: boolean;
  readonly maxFrameBytes: number;
  readonly microBatches: number;
  /** Limits every link, in both directions; undefined: as fast as it goes. */
  readonly linkMbit: number | undefined;
  readonly signal: AbortSignal;
}

const HOST = '127.0.0.1';

/** All processes of one setting; `close` ends them. */
export class Parties {
  readonly ranks: number;
  private readonly signal: AbortSignal;
  private readonly mesh: ProcessGroup<RankOrders>;
  private readonly raw: Readonly<Record<RawKind, ProcessGroup<RawOrders>>>;
  private readonly links: ProcessGroup<LinkOrders> | undefined;

  /** Returns when all are connected. */
  static async open(options: PartiesOptions): Promise<Parties> {
    const parties = new Parties(options);
    try {
      await parties.connect(options);
      return parties;
    } catch (error) {
      await parties.close();
      throw error;
    }
  }

  private constructor(options: PartiesOptions) {
    const { ranks, linkMbit, signal } = options;
    this.ranks = ranks;
    this.signal = signal;
    const raw = (name: string): ProcessGroup<RawOrders> =>
      new ProcessGroup(
        Array.from({ length: ranks }, (_, rank) => startProcess('../ranks/raw_process.js', `${name} ${rank}`)),
      );
    this.mesh = new ProcessGroup(startRanks(options));
    this.raw = { naive: raw('raw-tcp'), tuned: raw('tuned-tcp') };
    if (linkMbit !== undefined) this.links = new ProcessGroup([startProcess('../links/link_process.js', 'link')]);
  }

  /** Gives every rank of the mesh its tokens; each checks them by one dispatch and combine. Answers are by rank. */
  prepare(workload: Workload): Promise<Prepared[]> {
    return this.mesh.ask('prepare', () => workload, this.signal);
  }

  /** The same work on all ranks of a party, `iterations` times in lockstep. */
  run(party: PartyName, task: Task, iterations: number): Promise<Samples[]> {
    const order = { task, iterations };
    if (party === 'mesh') return this.mesh.ask('run', () => order, this.signal);
    return this.raw[party].ask('run', () => order, this.signal);
  }

  /** What each rank's all-to-all counted since it was prepared. */
  stats(): Promise<AllToAllStats[]> {
    return this.mesh.ask('stats', () => ({}), this.signal);
  }

  /** What each rank of the mesh traced since it was last asked, by rank; empty where no trace was asked for. */
  timelines(): Promise<(readonly TimelineEvent[])[]> {
    return this.mesh.ask('timeline', () => ({}), this.signal);
  }

  /** Idempotent; returns when every process and thread is gone. */
  async close(): Promise<void> {
    await Promise.all([this.mesh, this.raw.naive, this.raw.tuned, this.links].map(async (group) => group?.close()));
  }

  private async connect({ ranks: size, linkMbit, ...options }: PartiesOptions): Promise<void> {
    const { transport, ioThread, maxFrameBytes, microBatches } = options;
    const secret = randomBytes(32).toString('hex');
    const mesh = { size, transport, ioThread, maxFrameBytes, microBatches, secret };
    const raw = (kind: RawKind): Promise<number[]> =>
      this.raw[kind].ask('listen', (rank) => ({ kind, rank, size }), this.signal);
    const ports = await Promise.all([
      this.mesh.ask('listen', (rank) => ({ ...mesh, rank }), this.signal),
      raw('naive'),
      raw('tuned'),
    ]);
    const dialed: Dialed[] = [];
    for (const own of ports) dialed.push(await this.dialed(own, linkMbit)); // the link process takes one order at a time
    const [toMesh, toNaive, toTuned] = dialed as [Dialed, Dialed, Dialed];
    await Promise.all([
      this.mesh.ask('connect', toMesh, this.signal),
      this.raw.naive.ask('connect', toNaive, this.signal),
      this.raw.tuned.ask('connect', toTuned, this.signal),
    ]);
  }

  /** Where each rank dials the ranks that listen on these ports. */
  private async dialed(ports: readonly number[], mbit: number | undefined): Promise<Dialed> {
    const addresses = (of: readonly number[]): Address[] => of.map((port) => ({ host: HOST, port }));
    if (this.links === undefined || mbit === undefined) return () => ({ addresses: addresses(ports) });
    const [limited] = await this.links.ask('limit', () => ({ mbit, ports }), this.signal);
    return (rank) => ({ addresses: addresses(limited![rank]!) });
  }
}

type Dialed = (rank: number) => { readonly addresses: readonly Address[] };

/** Threads where the transport is between threads, else processes. */
function startRanks({ ranks, transport, maxFrameBytes, microBatches }: PartiesOptions): Runner[] {
  const seats = transport === 'threads' ? createThreadSeats(ranks, { maxFrameBytes, microBatches }) : [];
  return Array.from({ length: ranks }, (_, rank) => {
    const seat = seats[rank];
    if (seat === undefined) return startProcess('../ranks/rank_process.js', `rank ${rank}`);
    return startThread('../ranks/rank_process.js', `rank ${rank}`, seat);
  });
}
