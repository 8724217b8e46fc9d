/**
 * A real engine over ranks in this process: scheduler, job, membership, executors and the all-to-all are the ones that run; only sockets and
 * processes are replaced. Ranks die or fall silent at chosen moments.
 */
import { overridesOf } from '../../../lib/model/weights/resident_overrides.js';
import type { RoutingObserver } from '../../../experts/load/load_recorder.js';
import type { Mesh } from '../../../comm/mesh/mesh.js';
import type { Placement } from '../../../experts/placement/placement.js';
import { createPlacement } from '../../../experts/placement/placement.js';
import { withSeats } from '../../../experts/placement/seats.js';
import type { LaterExperts } from './local_job.js';
import { selectBackend } from '../../../compute/tfjs/tf.js';
import { readRouting } from '../../../lib/config/routing.js';
import { loadConfig } from '../../../lib/config/load.js';
import { Engine } from '../../../lib/head/engine.js';
import type { Loss } from '../../../lib/head/step_loop.js';
import type { NewcomersParts } from '../../../lib/job/newcomers.js';
import { withLossPolicy, type LossPolicy } from '../../../lib/config/loss_policy.js';
import { openModel } from '../../../lib/head/opened_model.js';
import { slicedSpec } from '../../../lib/head/slice_choice.js';
import { heldCountsOf } from '../../../lib/model/spec/slices.js';
import { kvStorePlanOf } from '../../../lib/protocol/kv_store_plan.js';
import { tierPolicyNamed } from '../../../lib/plugins/tier_policies.js';
import { tierWishOf } from '../../../lib/protocol/rank_job.js';
import { wireNamed } from '../../../lib/plugins/codecs.js';
import type { Planning } from '../../../lib/head/rebalancing/planner_thread.js';
import type { ExpertsEvent } from '../../../lib/head/rebalancing/experts_event.js';
import type { RebalanceEvent } from '../../../lib/head/rebalancing/rebalance_stats.js';
import type { RankExecutor } from '../../../lib/rank/rank_executor.js';
import type { Hook } from '../../../lib/protocol/hook.js';
import type { ExpertDigests } from '../../../lib/model/weights/expert_digests.js';
import { moeLayersOf, type MlaForm, type ModelSpec } from '../../../lib/model/spec/spec.js';
import type { Transformer } from '../../../lib/model/transformer.js';
import type { MemoryKvSpace } from '../comm/memory_kv.js';
import type { Latency } from '../comm/memory_link.js';
import type { Fault } from './local_rank.js';
import { PacedJob } from './paced_job.js';
import { LocalSeats, type Spoil } from './local_seats.js';

export type { Fault, Moment } from './local_rank.js';

export interface LocalEngineOptions {
  readonly numRanks: number;
  /** How many ranks it may have at once. Default: as many as it begins with. */
  readonly numSeats?: number;
  /** How long a newcomer may say nothing. Default 10000. */
  readonly joinTimeoutMs?: number;
  /** Of all that ranks and head send to each other. Default: none. */
  readonly latency?: Latency;
  /** Where its ranks and those of other engines read each other's keys and values. Default: nowhere. */
  readonly kv?: MemoryKvSpace;
  /** Default 0. */
  readonly numSpares?: number;
  /** What is wrong with those that the job starts itself, in their order. Default: nothing. */
  readonly spoils?: readonly Spoil[];
  readonly placement?: (spec: ModelSpec, numRanks: number) => Placement;
  readonly reduce?: 'rank' | 'source';
  readonly mla?: MlaForm;
  readonly onPeerLoss?: LossPolicy;
  readonly faults?: readonly Fault[];
  /** Default 1. */
  readonly microBatches?: number;
  /** How long a rank waits for its peers. Default 10000. */
  readonly timeoutMs?: number;
  readonly observer?: RoutingObserver;
  readonly hooks?: readonly Hook[];
  /** Who plans, where load_balance is enabled. Default: a thread. */
  readonly planning?: Planning;
  /** What experts are that ranks read from disk. Default: nobody knows. */
  readonly expertDigests?: ExpertDigests;
  readonly later?: LaterExperts;
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
  readonly job: PacedJob;
  /** By seat, of those who sit there now. */
  readonly executors: readonly RankExecutor[];
  readonly models: readonly Transformer[];
  readonly meshes: readonly Mesh[];
  /** What the head was told of newcomers, and tells itself. */
  readonly notices: readonly string[];
  /** Fails a rank now. */
  fail(rank: number, how?: Fault['how']): void;
  /** Somebody comes to the door; what becomes of it is the job's business. `spoil`: what it does otherwise than it should. */
  join(spoil?: Spoil): void;
  /** A rank asks to leave. */
  leave(rank: number): void;
  close(): Promise<void>;
}

export async function startLocalEngine(modelDir: string, options: LocalEngineOptions): Promise<LocalEngine> {
  const { numRanks, reduce = 'source', mla = 'absorbed', onPeerLoss = 'mask', timeoutMs = 10_000 } = options;
  const { microBatches = 1 } = options;
  await selectBackend('wasm');
  const comm = { reduce, timeout_ms: timeoutMs, on_peer_loss: onPeerLoss };
  const base = { model: modelDir, parallel: { ranks: numRanks }, comm, engine: { mla } };
  const numSeats = options.numSeats ?? numRanks;
  const config = withLossPolicy(await loadConfig({ base, overrides: [...(options.set ?? [])] }), numSeats);
  const model = await openModel(config);
  const { limits } = model;
  const { slices } = config.experts;
  const spec = slices === 'auto' ? model.spec : slicedSpec({ slices }, model.spec, numRanks);
  const first = (options.placement ?? linear)(spec, numRanks);
  const slotsPerRank =
    onPeerLoss === 'recover' ? Math.max(first.slotsPerRank, ...first.numExperts) : first.slotsPerRank;
  const placement = withSeats(first, { numSeats, slotsPerRank });
  const { registry: plugins } = model.plugins;
  const wish = tierWishOf(config);
  const seats = await LocalSeats.open({
    ...{ modelDir, spec, placement, numRanks, reduce, mla, microBatches, timeoutMs, onPeerLoss, plugins },
    replicaChoice: config.experts.replica_choice,
    wire: wireNamed(config.comm.wire, plugins),
    gate: model.gate,
    tiers: wish && { ...wish, policy: tierPolicyNamed(wish.policy, plugins) },
    residence: {
      compute: config.compute,
      experts: config.experts.resident,
      dense: config.dense.resident,
      overrides: overridesOf(config.resident_overrides),
      kv: config.engine.kv_dtype,
    },
    ...(options.later && { later: options.later }),
    ...(options.numMemories !== undefined && { numMemories: options.numMemories }),
    blockSize: limits.blockSize,
    kvStore: kvStorePlanOf(config, spec, model.storeIdentity),
    faults: options.faults ?? [],
    joinTimeoutMs: options.joinTimeoutMs ?? 10_000,
    ...(options.latency !== undefined && { latency: options.latency }),
    ...(options.kv !== undefined && { kv: options.kv }),
  });
  const { executors, models, meshes, ranks, links } = seats;
  const spoils = [...(options.spoils ?? [])];
  const local = {
    exits: ranks.map(({ exit }) => exit),
    start: () => seats.join(spoils.shift()),
    kill: (rank: number) => ranks[rank]!.fail('killed'),
    ended: (rank: number) => ranks[rank]!.exit.then(() => undefined),
    close: () => Promise.resolve(),
  };
  const rendezvous = { close: () => Promise.resolve() };
  const reports = ranks.map((_, rank) => seats.reportOf(rank));
  const times = { stepTimeoutMs: 20_000, enterTimeoutMs: timeoutMs };
  const known = options.expertDigests && { expertDigests: options.expertDigests };
  const notices: string[] = [];
  const newcomers: NewcomersParts = {
    open: (door) => seats.stayOpen(door),
    check: () => Promise.resolve(),
    numSpares: options.numSpares ?? 0,
    timeoutMs: options.joinTimeoutMs ?? 10_000,
    silenceMs: timeoutMs,
    onNotice: (line) => void notices.push(line),
  };
  const job = new PacedJob({ rendezvous, local, links, reports, numSeats, newcomers, ...known, onPeerLoss, ...times });
  const losses: Loss[] = [];
  const rebalances: RebalanceEvent[] = [];
  const homes: ExpertsEvent[] = [];
  const { numExperts, numTopk } = spec.moe.gate;
  const routing = await readRouting(config.experts, { numLayers: moeLayersOf(spec).length, numExperts, numTopk });
  const { observer, planning, hooks } = options;
  const observers = {
    observer,
    hooks,
    onNotice: (line: string) => void notices.push(line),
    onLoss: (loss: Loss) => void losses.push(loss),
    onRebalance: (event: RebalanceEvent) => void rebalances.push(event),
    onExperts: (event: ExpertsEvent) => void homes.push(event),
  };
  const engine = new Engine({ ...model, spec, config, placement, job, planning, routing, ...observers });
  return {
    engine,
    job,
    placement,
    losses,
    rebalances,
    homes,
    executors,
    models,
    meshes,
    notices,
    fail: (rank, how = 'killed') => ranks[rank]!.fail(how),
    join: (spoil) => void seats.join(spoil),
    leave: (rank) => ranks[rank]!.askToLeave(),
    async close() {
      await engine.close();
      await seats.close();
    },
  };
}

const linear = (spec: ModelSpec, numRanks: number): Placement =>
  createPlacement('linear', { numLayers: moeLayersOf(spec).length, numExperts: heldCountsOf(spec), numRanks });
