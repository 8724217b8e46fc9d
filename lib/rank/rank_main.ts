/** The life of a rank process: join the head, load, meet the other ranks, run steps until the job ends. */
import { hostname } from 'node:os';
import { createAllToAll } from '../../comm/all_to_all/all_to_all.js';
import { CommError, remoteErrorOf } from '../../comm/base/errors.js';
import { asRank } from '../../base/ids.js';
import { joinHead, type JoinedRank } from '../../comm/job/join.js';
import type { TlsOptions } from '../../comm/base/tls.js';
import type { ThreadSeat } from '../../comm/threads/thread_seat.js';
import { CountGather } from '../../experts/placement/count_gather.js';
import { closeDevices } from '../../compute/tfjs/tf.js';
import { WsKvNetwork } from '../../comm/kv/ws_kv.js';
import type { Transformer } from '../model/transformer.js';
import { blockBytesOf } from '../model/spec/cache_layout.js';
import { kvShapeOf, type PullReport } from '../protocol/handover.js';
import { openStore } from './store/open_store.js';
import type { RankStore } from './store/rank_store.js';
import { heldTopkOf } from '../model/spec/slices.js';
import { expertDtypeIn } from '../model/weights/residence.js';
import { heldExperts } from '../model/weights/sliced_experts.js';
import { wireNamed } from '../plugins/codecs.js';
import { replicaChooserNamed } from '../plugins/replica_choices.js';
import { jobOf, loadRank, type LoadChoices, type LoadedRank } from './loaded_rank.js';
import { Handover } from './handover/handover.js';
import { RankExecutor } from './rank_executor.js';
import { maxFrameBytesOf, roomOf, topologyOf, type RankJob } from '../protocol/rank_job.js';
import {
  headLost,
  serveHead,
  type Endings,
  type RankOutcome,
  type Standing,
  type StopHandler,
} from './rank_service.js';
import type { EpochOrder, RankToHead } from '../protocol/step_plan.js';

/** Where a rank's head is, what it may use, and who is told of what. */
export interface RankOptions extends LoadChoices {
  readonly head: { readonly host: string; readonly port: number };
  readonly secret: string;
  /** Default: the head gives a number. */
  readonly rank?: number;
  /** Address under which other ranks reach this one. Default: this end of the connection to the head. */
  readonly advertise?: string;
  /** Where ranks of other instances read. Default: as for other ranks. */
  readonly kvReach?: JoinedRank['reach'];
  readonly joinTimeoutMs: number;
  /** As the head's. Default: no TLS. */
  readonly tls?: TlsOptions;
  /** Told when the rank has joined its job. */
  readonly onJoined?: (job: RankJob, rank: number) => void;
  /** Has the handler asked first when this process is told to stop. Default: it ends then. */
  readonly takeTermination?: (handler: StopHandler) => void;
  /** Has what tells the head that another rank of the same command ended. Default: nobody tells it. */
  readonly takeNeighbourEnd?: Endings['takeNeighbourEnd'];
  /** Told when it is a member, and when it asked to leave in vain. */
  readonly onStanding?: (standing: Standing) => void;
  /** Told of a connection to this rank's data port that was turned away. */
  readonly onRefused?: (error: Error) => void;
  /** Where all ranks are threads of this process: this one's place among them. */
  readonly threadSeat?: ThreadSeat;
  readonly signal: AbortSignal;
}

/** What a timer can count. */
const MAX_WAIT_MS = 2 ** 31 - 1;

/** Resolves when the head shut the job down or something went wrong here, after the head was told. */
export function runRank(options: RankOptions): Promise<RankOutcome> {
  const { head, secret, rank, advertise, joinTimeoutMs: timeoutMs, tls, onRefused, signal } = options;
  const number = rank === undefined ? undefined : asRank(rank);
  const joining = joinHead({ head, secret, rank: number, advertise, timeoutMs, tls, onRefused, signal });
  return joining.then(
    (joined) => serve(joined, options),
    (error: unknown) => notStarted(error, false),
  );
}

async function serve(joined: JoinedRank, options: RankOptions): Promise<RankOutcome> {
  try {
    const outcome = await live(joined, options).catch((error: unknown) => notStarted(error, joined.link.isOpen));
    const { link } = joined; // to the last head
    if (outcome.kind === 'failed' && link.isOpen) {
      link.send({ type: 'failed', error: { ...remoteErrorOf(outcome.error), host: hostname() } });
    }
    return outcome;
  } finally {
    closeDevices();
    await joined.close();
  }
}

/** The head knows why when it is told, or said it itself. */
function notStarted(error: unknown, isHeadHere: boolean): RankOutcome {
  const isHeads = error instanceof CommError && error.remote !== undefined;
  return { kind: 'failed', error, isHeadTold: isHeadHere || isHeads };
}

/** Rejects where the rank can't start. */
async function live(joined: JoinedRank, options: RankOptions): Promise<RankOutcome> {
  options.onJoined?.(jobOf(joined), joined.rank);
  const loaded = await loadRank(joined, options, stopSignal(joined, options.signal));
  try {
    return await meet(joined, loaded, options);
  } finally {
    await loaded.crew?.close();
    await loaded.weights.close();
  }
}

/** Opens the mesh and runs steps. */
async function meet(joined: JoinedRank, loaded: LoadedRank, options: RankOptions): Promise<RankOutcome> {
  const { placement, plugins, weights, room, meters, fingerprint } = loaded;
  const job = jobOf(joined);
  const { spec, reduce, timeoutMs, ioThread } = job;
  const wire = wireNamed(job.wire, plugins);
  const limits = { maxFrameBytes: maxFrameBytesOf(job, wire), microBatches: roomOf(job) };
  // How long to wait for the others is the head's decision: it closes the link when it gives up.
  const how = { ioThread, threadSeat: options.threadSeat, timeoutMs: MAX_WAIT_MS };
  const mesh = await joined.ready(fingerprint, { ...limits, ...how });
  let handover: Handover | null = null;
  let store: RankStore | null = null;
  try {
    const shape = { hidden: spec.hiddenSize, numTopk: heldTopkOf(spec), slotsPerRank: placement.slotsPerRank };
    const traced = meters.timeline && { onSpan: meters.timeline.onSpan };
    const topology = topologyOf(job, mesh.size);
    const ep = createAllToAll(mesh, { ...shape, reduce, wire, timeoutMs, topology, ...traced });
    const countGather = new CountGather(mesh, timeoutMs);
    const chooser = { rank: mesh.rank, ranksPerNode: topology.ranksPerNode };
    // Half of what the other ranks wait for this one: the plug-in is told of before they are.
    const tools = { gather: countGather.gather, timeoutMs: timeoutMs / 2 };
    const replicas = replicaChooserNamed(job.replicaChoice, plugins, chooser, tools);
    const disk = heldExperts(weights, spec, { as: expertDtypeIn(spec, loaded.report.residence.experts) });
    const model = loaded.model({ ep, replicas });
    store = await openStoreOf(joined, model);
    handover = await openHandover(joined, model, store, options);
    const rows = handover?.watch ?? null;
    const steps = { model, placement, ep, mesh, timeoutMs, disk, room, countGather, rows };
    const executor = new RankExecutor({ ...steps, ...meters });
    executor.enterEpoch(firstEpoch(joined));
    const report = { ...loaded.report, kvDoor: handover?.place ?? null };
    tell(joined, { kind: 'loaded', report });
    const { crew } = loaded;
    const outcome = await serveHead({ joined, mesh, executor, handover, store, crew, report }, options);
    await Promise.all([handover?.close(), store?.close()]); // before the cache is gone
    if (outcome.kind !== 'failed') executor.dispose();
    return outcome;
  } finally {
    await Promise.all([handover?.close(), store?.close()]);
    await mesh.close();
  }
}

/** Where the job wants it: a door for ranks of other instances, where the head says, or at the host of the data links. @throws CommError: why it can't listen */
async function openHandover(
  joined: JoinedRank,
  { cache, spec }: Transformer,
  store: RankStore | null,
  { tls, onRefused, kvReach = joined.reach }: RankOptions,
): Promise<Handover | null> {
  const { kvPort, timeoutMs, blockSize, residence } = jobOf(joined);
  if (kvPort === null) return null;
  const { bind: host, advertise } = kvReach;
  const listen = { host, port: kvPort === 0 ? 0 : kvPort + joined.rank };
  const network = new WsKvNetwork({ listen, advertise, tls, onRefused, timeoutMs });
  const { kv: dtype = 'f32' } = residence;
  const shape = kvShapeOf(spec, dtype);
  const tellPulled = (report: PullReport): void => {
    if (joined.link.isOpen) tell(joined, { kind: 'pulled', ...report });
  };
  const blockBytes = blockBytesOf(spec, dtype, blockSize);
  const readTier = async (key: string): Promise<Uint8Array | null> => (await store?.read(key))?.bytes ?? null;
  return Handover.open({ cache, shape, blockBytes, readTier, network, tell: tellPulled });
}

/** Where the job wants it: tiers for blocks that the cache has no room for. */
async function openStoreOf(joined: JoinedRank, { cache }: Transformer): Promise<RankStore | null> {
  const { kvStore } = jobOf(joined);
  if (kvStore === null) return null;
  const toHead = (message: RankToHead): void => {
    if (joined.link.isOpen) tell(joined, message);
  };
  return openStore(kvStore, joined.rank, {
    cache,
    onLifted: (report) => toHead({ kind: 'lifted', ...report }),
    onNews: (news) => toHead({ kind: 'store', ...news }),
  });
}

/** Of a rank that joins later nobody knows yet: the head tells it whom it meets. */
function firstEpoch(joined: JoinedRank): EpochOrder {
  const { rank } = joined;
  const { numRanks } = jobOf(joined);
  return { epoch: 0, members: rank < numRanks ? [...Array(numRanks).keys()] : [rank] };
}

/** Aborted when this rank is told to stop or its head is gone: a large checkpoint takes minutes to load. */
function stopSignal({ link }: JoinedRank, signal: AbortSignal): AbortSignal {
  const lost = new AbortController();
  void link.closed.then(() => lost.abort(headLost()));
  return AbortSignal.any([signal, lost.signal]);
}

const tell = (joined: JoinedRank, body: RankToHead): void => joined.link.send({ type: 'job', body });
