/** The ranks of a job in this process, by seat: the first ones, and those that come through the real door while it runs. */
import { Door, type DoorOptions } from '../../../comm/job/door.js';
import type { ControlLink } from '../../../comm/job/control_link.js';
import type { ControlMessage } from '../../../comm/job/messages.js';
import { LocalNetwork } from '../../../comm/mesh/local_mesh.js';
import type { Mesh } from '../../../comm/mesh/mesh.js';
import { withoutRanks } from '../../../experts/placement/placement.js';
import type { LocalNewcomer } from '../../../lib/job/local_ranks.js';
import type { LossPolicy } from '../../../lib/config/loss_policy.js';
import type { RankExit } from '../../../lib/job/rank_process.js';
import type { RowsWatch } from '../../../lib/rank/handover/rows_watch.js';
import type { Transformer } from '../../../lib/model/transformer.js';
import type { LoadReport } from '../../../lib/protocol/step_plan.js';
import type { RankExecutor } from '../../../lib/rank/rank_executor.js';
import { openStore } from '../../../lib/rank/store/open_store.js';
import type { RankStore } from '../../../lib/rank/store/rank_store.js';
import type { KvStorePlan } from '../../../lib/protocol/kv_store_plan.js';
import { Handover } from '../../../lib/rank/handover/handover.js';
import { blockBytesOf } from '../../../lib/model/spec/cache_layout.js';
import { kvShapeOf, type PullReport } from '../../../lib/protocol/handover.js';
import type { Address } from '../../../comm/ws/door/dial.js';
import type { MemoryKv, MemoryKvSpace } from '../comm/memory_kv.js';
import { FaultyMesh, type FrameMoment } from '../comm/faulty_mesh.js';
import { MemoryLink, type Latency } from '../comm/memory_link.js';
import { loadRanks, type LoadRanksOptions } from './local_job.js';
import { LocalRank, type Fault } from './local_rank.js';

/**
 * A newcomer that says it loaded another checkpoint, ends when it has its seat or once its mesh is open, or says nothing from then on; or one that is stopped before it
 * dials, or when it is linked to the others, until it is killed.
 */
export type Spoil =
  'other checkpoint' | 'dies loading' | 'dies linking' | 'silent linking' | 'stopped dialing' | 'stopped linked';

export interface LocalSeatsOptions extends Omit<LoadRanksOptions, 'meshes' | 'timeoutMs'> {
  readonly modelDir: string;
  readonly numRanks: number;
  readonly faults: readonly Fault[];
  readonly onPeerLoss: LossPolicy;
  readonly timeoutMs: number;
  /** How long a newcomer may say nothing. */
  readonly joinTimeoutMs: number;
  /** Of all that ranks and head send to each other. */
  readonly latency?: Latency;
  /** Where ranks of several engines read each other's keys and values. Default: nowhere. */
  readonly kv?: MemoryKvSpace;
  /** Tiers of each rank. Default null: none. */
  readonly kvStore?: KvStorePlan | null;
}

/** Who sits somewhere now, or did. */
interface Seated {
  readonly executor: RankExecutor;
  readonly model: Transformer;
  readonly mesh: Mesh;
  readonly handover: SeatedHandover | null;
  readonly store: RankStore | null;
  close(): Promise<void>;
}

/** What a rank hands over with, and where it says what came of it. */
interface SeatedHandover {
  readonly own: Handover;
  readonly network: MemoryKv;
}

export class LocalSeats {
  /** By seat, of those who sit there now; whom tests look at. */
  readonly executors: RankExecutor[] = [];
  readonly models: Transformer[] = [];
  readonly meshes: FaultyMesh[] = [];
  private readonly handovers: (SeatedHandover | null)[] = [];
  private readonly stores: (RankStore | null)[] = [];
  readonly ranks: LocalRank[] = [];
  /** The head's ends, of the first ranks. */
  readonly links: MemoryLink[] = [];
  private readonly all: Seated[] = [];
  private readonly network: LocalNetwork;
  private door: Door | null = null;
  private readonly coming = new Set<Promise<void>>();
  /** The head's ends, of those that came later. */
  private readonly laterLinks: MemoryLink[] = [];

  private constructor(private readonly options: LocalSeatsOptions) {
    const { placement, microBatches = 1 } = options;
    this.network = new LocalNetwork(placement.numRanks, { microBatches: microBatches + 1 });
  }

  static async open(options: LocalSeatsOptions): Promise<LocalSeats> {
    const seats = new LocalSeats(options);
    const members = [...Array(options.numRanks).keys()];
    const meshes = seats.network.openFirst(options.numRanks);
    await Promise.all(meshes.map((mesh) => seats.load(mesh, members)));
    for (const mesh of meshes) {
      const [head, own] = MemoryLink.pair(options.latency);
      seats.links.push(head);
      seats.sit(mesh.rank, own, options.faults);
    }
    return seats;
  }

  /** Lets others in. */
  stayOpen(options: Omit<DoorOptions, 'welcome' | 'agree'>): Door {
    const seats = Array.from({ length: this.options.placement.numRanks }, (_, rank) => {
      const link = this.links[rank];
      return link && { link, host: 'localhost', port: 1 };
    });
    const start = { seats, fingerprint: FINGERPRINT, jobId: 'local', refuse: () => undefined };
    const { joinTimeoutMs: timeoutMs } = this.options;
    this.door = new Door(start, { ...options, timeoutMs, welcome: () => null, agree: () => null });
    return this.door;
  }

  /** Somebody comes to the door. */
  join(spoil?: Spoil): LocalNewcomer {
    const [head, own] = MemoryLink.pair(this.options.latency);
    this.laterLinks.push(head);
    const news = { rank: null as number | null };
    const exit = new Promise<RankExit>((resolve) => {
      const end = (how: Partial<RankExit> = {}): void =>
        resolve({ rank: news.rank, pid: undefined, code: 1, signal: null, ...how });
      const arrival = this.come(own, spoil, (rank) => (news.rank = rank)).then(
        (rank) => (rank === null ? end() : void rank.exit.then(end)),
        () => end(),
      );
      this.coming.add(arrival);
      void arrival.finally(() => this.coming.delete(arrival));
    });
    const kill = (): void => void own.close();
    if (spoil !== 'stopped dialing') this.door!.join(head as unknown as ControlLink, { type: 'join' });
    return {
      get rank() {
        return news.rank;
      },
      exit,
      kill,
      ended: async () => {
        const timer = setTimeout(kill, 100);
        await exit;
        clearTimeout(timer);
      },
    };
  }

  /** What the one says that sits there now. */
  reportOf(rank: number): LoadReport {
    return reportOf(rank, this.handovers[rank]?.own.place);
  }

  async close(): Promise<void> {
    for (const link of this.laterLinks) void link.close();
    await Promise.all(this.coming);
    await Promise.all(this.ranks.map((rank) => rank.abandon()));
    await Promise.all(this.all.map(({ handover }) => handover?.own.close() ?? Promise.resolve()));
    await Promise.all(this.all.map(({ store }) => store?.close() ?? Promise.resolve()));
    for (const { executor } of this.all) executor.dispose();
    await Promise.all(this.all.map((each) => each.close()));
    await Promise.all(this.all.map(({ mesh }) => mesh.close()));
  }

  /** Null: it didn't come so far. */
  private async come(
    link: MemoryLink,
    spoil: Spoil | undefined,
    onRank: (rank: number) => void,
  ): Promise<LocalRank | null> {
    const welcome = await nextOf(link);
    if (welcome?.type !== 'welcome') return null;
    const { rank } = welcome;
    onRank(rank);
    if (spoil === 'dies loading') return gone(link);
    const mesh = this.network.open(rank);
    await this.load(mesh, [rank]);
    const fingerprint = spoil === 'other checkpoint' ? 'another' : FINGERPRINT;
    if (link.isOpen) link.send({ type: 'ready', fingerprint, host: 'localhost', port: 1 });
    if ((await nextOf(link))?.type !== 'peers') return gone(link);
    if (spoil === 'dies linking') await this.meshes[rank]!.close();
    link.send({ type: 'meshed' });
    if (spoil === 'dies linking') return gone(link);
    if (spoil === 'silent linking') return link.closed.then(() => null);
    this.sit(rank, link, [], true);
    if (spoil === 'stopped linked') return link.closed.then(() => null);
    link.send({ type: 'job', body: { kind: 'loaded', report: this.reportOf(rank) } });
    return this.ranks[rank]!;
  }

  private async load(inner: Mesh, members: readonly number[]): Promise<void> {
    const { modelDir, placement, ...options } = this.options;
    const { rank } = inner;
    const onSend = (moment: FrameMoment): void => {
      if (this.meshes[rank] === mesh) this.ranks[rank]?.reachFrame(moment);
    };
    const mesh = new FaultyMesh(inner, onSend, this.options.latency);
    const isFirst = rank < members.length;
    const own = isFirst ? placement : withoutRanks(placement, [rank]);
    let handover: SeatedHandover | null = null;
    let store: RankStore | null = null;
    const rows = async (model: Transformer): Promise<RowsWatch | null> => {
      store = await this.openStore(rank, mesh, model);
      handover = await this.openHandover(rank, mesh, model, store);
      return handover?.own.watch ?? null;
    };
    const watch = { rows };
    const load = { ...options, ...watch, placement: own, meshes: [mesh] };
    const { executors, models, close } = await loadRanks(modelDir, load);
    const [executor, model] = [executors[0]!, models[0]!];
    executor.enterEpoch({ epoch: 0, members });
    this.all.push({ executor, model, mesh, handover, store, close });
    this.handovers[rank] = handover;
    this.stores[rank] = store;
    this.executors[rank] = executor;
    this.models[rank] = model;
    this.meshes[rank] = mesh;
  }

  /** Who sits there with this mesh. */
  private at(rank: number, mesh: Mesh): LocalRank | null {
    return this.meshes[rank] === mesh ? (this.ranks[rank] ?? null) : null;
  }

  private async openStore(rank: number, mesh: Mesh, { cache }: Transformer): Promise<RankStore | null> {
    const { kvStore = null } = this.options;
    if (kvStore === null) return null;
    return openStore(kvStore, rank, {
      cache,
      onLifted: (report) => this.at(rank, mesh)?.tellStore({ kind: 'lifted', ...report }),
      onNews: (news) => this.at(rank, mesh)?.tellStore({ kind: 'store', ...news }),
    });
  }

  private async openHandover(
    rank: number,
    mesh: Mesh,
    { cache, spec }: Transformer,
    store: RankStore | null,
  ): Promise<SeatedHandover | null> {
    if (this.options.kv === undefined) return null;
    const who = (): LocalRank | null => this.at(rank, mesh);
    const network = this.options.kv.node({
      onSend: () => who()?.reachRows('kv_sent'),
      onArrival: () => who()?.reachRows('kv_arrived'),
      timeoutMs: this.options.timeoutMs,
    });
    const { kv: dtype = 'f32' } = this.options.residence ?? {};
    const shape = kvShapeOf(spec, dtype);
    const blockBytes = blockBytesOf(spec, dtype, cache.blockSize);
    const readTier = async (key: string): Promise<Uint8Array | null> => (await store?.read(key))?.bytes ?? null;
    const tell = (report: PullReport): void => who()?.tellPulled(report);
    const own = await Handover.open({ cache, shape, blockBytes, readTier, network, tell });
    return { own, network };
  }

  private sit(rank: number, link: MemoryLink, all: readonly Fault[], isNewcomer = false): void {
    const { onPeerLoss, timeoutMs } = this.options;
    const faults = all.filter((fault) => fault.rank === rank);
    const own = {
      executor: this.executors[rank]!,
      handover: this.handovers[rank] ?? null,
      store: this.stores[rank] ?? null,
    };
    this.ranks[rank] = new LocalRank(rank, {
      ...own,
      isNewcomer,
      meshes: this.meshes,
      link,
      faults,
      onPeerLoss,
      timeoutMs,
    });
  }
}

const FINGERPRINT = 'the one';

/** The next message; null: the link closed. */
function nextOf(link: MemoryLink): Promise<ControlMessage | null> {
  return new Promise((resolve) => {
    void link.closed.then(() => resolve(null));
    link.onMessage((message) => {
      link.onMessage(undefined);
      resolve(message);
    });
  });
}

function gone(link: MemoryLink): null {
  void link.close();
  return null;
}

/** What a rank says that it loaded. */
export const reportOf = (rank: number, kvDoor: Address | null = null): LoadReport => ({
  backend: 'wasm',
  backendDetail: '',
  device: null,
  residence: { compute: 'kernels', experts: 'bf16', dense: 'auto' },
  kernels: null,
  bytesRead: 0,
  headerBytesRead: 0,
  loadMs: 0,
  pid: rank,
  kvDoor,
  unused: { count: 0, names: [], skipped: [] },
});
