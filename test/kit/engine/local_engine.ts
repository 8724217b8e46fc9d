/**
 * A real engine over ranks in this process: scheduler, job, membership, executors and the all-to-all are the ones that run; only sockets and
 * processes are replaced. Ranks die or fall silent at chosen moments.
 */
import { CommError, remoteErrorOf } from '../../../comm/base/errors.js';
import type { RoutingObserver } from '../../../experts/load/load_recorder.js';
import { asRank } from '../../../base/ids.js';
import { createLocalMeshes } from '../../../comm/mesh/local_mesh.js';
import type { Mesh } from '../../../comm/mesh/mesh.js';
import type { Placement } from '../../../experts/placement/placement.js';
import { createPlacement } from '../../../experts/placement/placement.js';
import { withSeats } from '../../../experts/placement/seats.js';
import { selectBackend } from '../../../compute/tfjs/tf.js';
import { readRouting } from '../../../lib/config/routing.js';
import { loadConfig } from '../../../lib/config/load.js';
import { Engine } from '../../../lib/head/engine.js';
import type { Loss } from '../../../lib/head/step_loop.js';
import { Job } from '../../../lib/job/job.js';
import type { LossPolicy } from '../../../lib/job/loss_policy.js';
import type { RankExit } from '../../../lib/job/rank_process.js';
import { openModel } from '../../../lib/head/opened_model.js';
import { wireNamed } from '../../../lib/plugins/codecs.js';
import type { Planning } from '../../../lib/head/rebalancing/planner_thread.js';
import type { ExpertsEvent } from '../../../lib/head/rebalancing/experts_event.js';
import type { RebalanceEvent } from '../../../lib/head/rebalancing/rebalance_stats.js';
import type { RankExecutor } from '../../../lib/rank/rank_executor.js';
import { RankSteps } from '../../../lib/rank/rank_steps.js';
import type { Hook } from '../../../lib/protocol/hook.js';
import type {
  EpochOrder,
  FreeOrder,
  HeadToRank,
  LoadReport,
  MoveOrder,
  RankToHead,
} from '../../../lib/protocol/step_plan.js';
import type { ExpertDigests } from '../../../lib/model/weights/expert_digests.js';
import { moeLayersOf, type MlaForm, type ModelSpec } from '../../../lib/model/spec/spec.js';
import type { Transformer } from '../../../lib/model/transformer.js';
import { FaultyMesh, type FrameMoment } from '../comm/faulty_mesh.js';
import { loadRanks } from './local_job.js';
import { MemoryLink } from '../comm/memory_link.js';

/** When a rank fails: before a frame, before or after it reports a step, or when it is told of an epoch. */
export type Moment =
  | ({ readonly kind: 'frame' } & FrameMoment)
  | { readonly kind: 'before_result'; readonly step: number }
  | { readonly kind: 'after_step'; readonly step: number }
  | { readonly kind: 'epoch'; readonly epoch: number };

export interface Fault {
  readonly rank: number;
  readonly at: Moment;
  /**
   * killed (default): its connections close and its process ends; stopped: it says nothing any more; late: it lives, and its frames
   * of this epoch arrive in the next one; refused: its mesh throws instead of sending this frame.
   */
  readonly how?: 'killed' | 'stopped' | 'late' | 'refused';
  /** Instead: the link to this rank is cut, at both ends, and both live. */
  readonly cutFrom?: number;
}

export interface LocalEngineOptions {
  readonly numRanks: number;
  readonly placement?: (spec: ModelSpec, numRanks: number) => Placement;
  readonly reduce?: 'rank' | 'source';
  readonly mla?: MlaForm;
  readonly onPeerLoss?: LossPolicy;
  readonly faults?: readonly Fault[];
  /** Default 1. */
  readonly microBatches?: number;
  /** How long a rank waits for its peers. Default 10000. */
  readonly timeoutMs?: number;
  /** How long a step may take. Default 20000. */
  readonly stepTimeoutMs?: number;
  readonly observer?: RoutingObserver;
  readonly hooks?: readonly Hook[];
  /** Who plans, where load_balance is enabled. Default: a thread. */
  readonly planning?: Planning;
  /** What experts are that ranks read from disk. Default: nobody knows. */
  readonly expertDigests?: ExpertDigests;
  /** How many memories each rank's dense part is spread over. Default 1. */
  readonly numMemories?: number;
  /** Further keys: 'engine.block_size=4'. */
  readonly set?: readonly string[];
}

export interface LocalEngine {
  readonly engine: Engine;
  readonly placement: Placement;
  readonly losses: readonly Loss[];
  readonly rebalances: readonly RebalanceEvent[];
  readonly homes: readonly ExpertsEvent[];
  readonly executors: readonly RankExecutor[];
  readonly models: readonly Transformer[];
  readonly meshes: readonly Mesh[];
  /** Fails a rank now. */
  fail(rank: number, how?: Fault['how']): void;
  close(): Promise<void>;
}

export async function startLocalEngine(modelDir: string, options: LocalEngineOptions): Promise<LocalEngine> {
  const { numRanks, reduce = 'source', mla = 'absorbed', onPeerLoss = 'mask', timeoutMs = 10_000 } = options;
  const { microBatches = 1 } = options;
  await selectBackend('wasm');
  const comm = { reduce, timeout_ms: timeoutMs, on_peer_loss: onPeerLoss };
  const base = { model: modelDir, parallel: { ranks: numRanks }, comm, engine: { mla } };
  const config = await loadConfig({ base, overrides: [...(options.set ?? [])] });
  const model = await openModel(config);
  const { spec, limits } = model;
  const first = (options.placement ?? linear)(spec, numRanks);
  const slotsPerRank = onPeerLoss === 'recover' ? Math.max(first.slotsPerRank, first.numExperts) : first.slotsPerRank;
  const placement = withSeats(first, { numSeats: numRanks, slotsPerRank });

  const ranks: LocalRank[] = [];
  const meshes = createLocalMeshes(numRanks, { microBatches: microBatches + 1 }).map(
    (mesh, rank) => new FaultyMesh(mesh, (moment) => ranks[rank]!.reach({ kind: 'frame', ...moment })),
  );
  const replicaChoice = config.experts.replica_choice;
  const residence = { compute: config.compute };
  const { registry: plugins } = model.plugins;
  const shape = {
    spec,
    placement,
    meshes,
    reduce,
    mla,
    microBatches,
    timeoutMs,
    replicaChoice,
    plugins,
    wire: wireNamed(config.comm.wire, plugins),
    gate: model.gate,
    residence,
    ...(options.numMemories !== undefined && { numMemories: options.numMemories }),
  };
  const { executors, models, close } = await loadRanks(modelDir, { ...shape, blockSize: limits.blockSize });
  const links = executors.map((executor, rank) => {
    const [head, own] = MemoryLink.pair();
    const faults = (options.faults ?? []).filter((fault) => fault.rank === rank);
    ranks.push(new LocalRank(rank, { executor, meshes, link: own, faults, onPeerLoss }));
    return head;
  });
  const local = {
    exits: ranks.map(({ exit }) => exit),
    kill: (rank: number) => ranks[rank]!.fail('killed'),
    close: () => Promise.resolve(),
  };
  const rendezvous = { close: () => Promise.resolve() };
  const reports = ranks.map(() => NO_REPORT);
  const times = { stepTimeoutMs: options.stepTimeoutMs ?? 20_000, enterTimeoutMs: timeoutMs };
  const known = options.expertDigests && { expertDigests: options.expertDigests };
  const job = new Job({ rendezvous, local, links, reports, ...known, onPeerLoss, ...times });
  const losses: Loss[] = [];
  const rebalances: RebalanceEvent[] = [];
  const homes: ExpertsEvent[] = [];
  const { numExperts, numTopk } = spec.moe.gate;
  const routing = await readRouting(config.experts, { numLayers: moeLayersOf(spec).length, numExperts, numTopk });
  const { observer, planning, hooks } = options;
  const observers = {
    observer,
    hooks,
    onLoss: (loss: Loss) => void losses.push(loss),
    onRebalance: (event: RebalanceEvent) => void rebalances.push(event),
    onExperts: (event: ExpertsEvent) => void homes.push(event),
  };
  const engine = new Engine({ ...model, config, placement, job, planning, routing, ...observers });
  return {
    engine,
    placement,
    losses,
    rebalances,
    homes,
    executors,
    models,
    meshes,
    fail: (rank, how = 'killed') => ranks[rank]!.fail(how),
    async close() {
      await engine.close();
      await Promise.all(ranks.map((rank) => rank.idle()));
      for (const executor of executors) executor.dispose();
      await close();
      await Promise.all(meshes.map((mesh) => mesh.close()));
    },
  };
}

interface LocalRankParts {
  readonly executor: RankExecutor;
  /** Of all ranks. */
  readonly meshes: readonly FaultyMesh[];
  readonly link: MemoryLink;
  readonly faults: readonly Fault[];
  readonly onPeerLoss: LossPolicy;
}

/** What a rank's process is. */
class LocalRank {
  readonly exit: Promise<RankExit>;
  private readonly steps: RankSteps;
  private settleExit!: (exit: RankExit) => void;
  private readonly faults: Fault[];
  private isSilent = false;
  private running = Promise.resolve();

  constructor(
    private readonly rank: number,
    private readonly parts: LocalRankParts,
  ) {
    this.exit = new Promise((resolve) => (this.settleExit = resolve));
    const { link, executor, onPeerLoss } = parts;
    this.faults = [...parts.faults];
    const watched = {
      move: (move: MoveOrder) => executor.move(move),
      free: (order: FreeOrder) => executor.free(order),
      gather: (...gather: Parameters<RankExecutor['gather']>) => executor.gather(...gather),
      enterEpoch: (order: EpochOrder) => executor.enterEpoch(order),
      run: (...step: Parameters<RankExecutor['run']>) => {
        const result = executor.run(...step);
        this.running = result.then(
          () => undefined,
          () => undefined,
        );
        return result;
      },
    };
    this.steps = new RankSteps({
      rank,
      executor: watched,
      onPeerLoss,
      tell: (body) => this.tell(body),
      onFailed: (error) => {
        if (this.isSilent) return;
        link.send({ type: 'failed', error: remoteErrorOf(error) });
        this.fail('killed');
      },
    });
    link.onMessage((message) => {
      if (message.type === 'job') this.take(message.body as HeadToRank);
    });
  }

  /** Fails here if a fault says so. */
  reach(moment: Moment): void {
    const fault = this.faults.find(({ at }) => JSON.stringify(sorted(at)) === JSON.stringify(sorted(moment)));
    if (fault?.how === 'refused') this.faults.splice(this.faults.indexOf(fault), 1); // the next frame may leave
    if (fault?.cutFrom !== undefined) this.cutFrom(fault.cutFrom);
    else if (fault !== undefined) this.fail(fault.how ?? 'killed');
  }

  fail(how: NonNullable<Fault['how']>): void {
    const { meshes, link } = this.parts;
    const mesh = meshes[this.rank]!;
    if (how === 'refused') throw new CommError('LIMIT', 'the mesh of this test refuses this frame');
    if (how === 'late') {
      mesh.isLate = true;
      return;
    }
    mesh.isSilent = true;
    this.isSilent = true;
    if (how === 'stopped') return;
    void mesh.close();
    void link.close();
    setImmediate(() => this.settleExit({ rank: this.rank, pid: undefined, code: null, signal: 'SIGKILL' }));
  }

  /** When what it computed last is over. */
  idle(): Promise<void> {
    return this.running;
  }

  private cutFrom(peer: number): void {
    const { meshes } = this.parts;
    meshes[this.rank]!.cut(asRank(peer));
    meshes[peer]!.cut(asRank(this.rank));
  }

  private take(body: HeadToRank): void {
    const isDeaf = (): boolean => this.isSilent;
    if (isDeaf()) return;
    if (body.kind === 'epoch') this.reach({ kind: 'epoch', epoch: body.epoch });
    if (!isDeaf()) this.steps.take(body);
  }

  private tell(body: RankToHead): void {
    const isMute = (): boolean => this.isSilent;
    if (body.kind === 'result') this.reach({ kind: 'before_result', step: body.result.step });
    if (isMute()) return;
    this.parts.link.send({ type: 'job', body });
    if (body.kind === 'result') this.reach({ kind: 'after_step', step: body.result.step });
  }
}

const sorted = (moment: Moment): unknown => Object.entries(moment).sort(([a], [b]) => a.localeCompare(b));

const linear = (spec: ModelSpec, numRanks: number): Placement =>
  createPlacement('linear', { numLayers: moeLayersOf(spec).length, numExperts: spec.moe.gate.numExperts, numRanks });

const NO_REPORT: LoadReport = {
  backend: 'wasm',
  backendDetail: '',
  device: null,
  residence: { compute: 'kernels', experts: 'bf16', dense: 'auto' },
  kernels: null,
  bytesRead: 0,
  headerBytesRead: 0,
  loadMs: 0,
  pid: 0,
  unused: { count: 0, names: [], skipped: [] },
};
