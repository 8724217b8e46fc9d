/** The life of a rank process: join the head, load, meet the other ranks, run steps until the job ends. */
import { hostname, totalmem } from 'node:os';
import { createAllToAll } from '../../comm/all_to_all/all_to_all.js';
import { CommError } from '../../comm/base/errors.js';
import { asRank } from '../../base/ids.js';
import { joinHead, type JoinedRank } from '../../comm/job/join.js';
import type { TlsOptions } from '../../comm/base/tls.js';
import type { ThreadSeat } from '../../comm/threads/thread_mesh.js';
import { errorOfRemote } from '../../comm/job/messages.js';
import { CountGather } from '../../experts/placement/count_gather.js';
import { LoadMonitor } from '../../experts/load/load_monitor.js';
import { placementFrom } from '../../experts/placement/placement.js';
import { createReplicaChooser } from '../../experts/placement/replica_choice.js';
import { MAX_MEMORY_BYTES } from '../../compute/wasm/memory/kernel_memory.js';
import { Stopwatch } from '../../compute/base/stopwatch.js';
import { closeDevices, selectBackend, type BackendChoice, type BackendReport } from '../../compute/tfjs/tf.js';
import { Timeline } from '../metrics/timeline.js';
import { loadModel } from '../model/load_model.js';
import { backendOf, residenceOf } from '../model/weights/residence.js';
import { footprintAt, footprintOf } from '../model/weights/footprint.js';
import { checkMemory, type GpuMemory } from '../model/weights/memory_check.js';
import { tensorsOfRank, unusedTensors } from '../model/weights/rank_tensors.js';
import { moeLayersOf } from '../model/spec/spec.js';
import { CheckpointExperts } from '../model/weights/weight_reader.js';
import { openCheckpoint } from '../weights/checkpoint.js';
import { Fingerprint } from '../weights/fingerprint.js';
import { readModelFiles } from '../weights/model_files.js';
import { EngineError } from '../protocol/errors.js';
import { RankExecutor } from './rank_executor.js';
import { maxFrameBytesOf, roomOf, topologyOf, type RankJob } from '../protocol/rank_job.js';
import type { RankPlace } from './rank_place.js';
import { describeError, RankSteps } from './rank_steps.js';
import type { HeadToRank, LoadReport, RankToHead } from '../protocol/step_plan.js';

export interface RankOptions {
  readonly head: { readonly host: string; readonly port: number };
  readonly secret: string;
  /** Default: the head gives a number. */
  readonly rank?: number;
  /** Address under which other ranks reach this one. Default: this end of the connection to the head. */
  readonly advertise?: string;
  /** Model folder on this machine. Default: the head's path. */
  readonly model?: string;
  /** Default: the job's. */
  readonly backend?: BackendChoice;
  readonly joinTimeoutMs: number;
  /** As the head's. Default: no TLS. */
  readonly tls?: TlsOptions;
  /** Told when the rank has joined its job. */
  readonly onJoined?: (job: RankJob) => void;
  /** Told when the head knows why this rank can't start. */
  readonly onHeadKnows?: () => void;
  /** Told of a connection to this rank's data port that was turned away. */
  readonly onRefused?: (error: Error) => void;
  /** Its model folder is the head's own: nobody needs a proof of what it read. Default false. */
  readonly readsHeadsFolder?: boolean;
  /** What it has of its machine. Default: all, and no GPU of which anything is known. */
  readonly place?: RankPlace;
  /** Where all ranks are threads of this process: this one's place among them. */
  readonly threadSeat?: ThreadSeat;
  readonly signal: AbortSignal;
}

const PROGRESS_EVERY_MS = 5000;
/** What a timer can count. */
const MAX_WAIT_MS = 2 ** 31 - 1;

/** Resolves when the head shut the job down; rejects with what went wrong here, after the head was told. */
export async function runRank(options: RankOptions): Promise<void> {
  const { head, secret, rank, advertise, joinTimeoutMs: timeoutMs, tls, onRefused, signal } = options;
  const number = rank === undefined ? undefined : asRank(rank);
  const where = { head, secret, rank: number, advertise, timeoutMs, tls, onRefused, signal };
  const joined = await joinHead(where).catch((error: unknown) => {
    if (isOfHead(error)) options.onHeadKnows?.();
    throw error;
  });
  const life = { isRunning: false };
  try {
    await serve(joined, options, () => (life.isRunning = true));
  } catch (error) {
    const { isOpen } = joined.link;
    if (isOpen) joined.link.send({ type: 'failed', error: { ...describeError(error), host: hostname() } });
    if (!life.isRunning && (isOpen || isOfHead(error))) options.onHeadKnows?.();
    throw error;
  } finally {
    closeDevices();
    await joined.close();
  }
}

/** Whether the head itself said it. */
const isOfHead = (error: unknown): boolean => error instanceof CommError && error.remote !== undefined;

async function serve(joined: JoinedRank, options: RankOptions, onRunning: () => void): Promise<void> {
  const job = joined.job as RankJob; // an authenticated head of the same protocol version wrote it
  options.onJoined?.(job);
  const loaded = await load(joined, job, options);
  try {
    await meet(joined, job, loaded, { ...options, onRunning });
  } finally {
    await loaded.checkpoint.close();
  }
}

/** Opens the mesh and runs steps. */
async function meet(
  joined: JoinedRank,
  job: RankJob,
  loaded: Loaded,
  options: RankOptions & { readonly onRunning: () => void },
): Promise<void> {
  const { placement, checkpoint, model, clock, timeline, load: counts, rankLoad, report, fingerprint } = loaded;
  const { spec } = job;
  // How long to wait for the others is the head's decision: it closes the link when it gives up.
  const limits = { maxFrameBytes: maxFrameBytesOf(job), microBatches: roomOf(job) };
  const how = { ioThread: job.ioThread, threadSeat: options.threadSeat };
  const mesh = await joined.ready(fingerprint, { ...limits, ...how, timeoutMs: MAX_WAIT_MS });
  try {
    const { slotsPerRank } = placement;
    const { reduce, wire, timeoutMs } = job;
    const shape = { hidden: spec.hiddenSize, numTopk: spec.moe.gate.numTopk, slotsPerRank };
    const traced = timeline && { onSpan: timeline.onSpan };
    const topology = topologyOf(job, mesh.size);
    const ep = createAllToAll(mesh, { ...shape, reduce, wire, timeoutMs, topology, ...traced });
    const countGather = new CountGather(mesh, timeoutMs);
    const chooser = { rank: mesh.rank, ranksPerNode: topology.ranksPerNode };
    const replicas = createReplicaChooser(job.replicaChoice, chooser, countGather.gather);
    const disk = new CheckpointExperts(checkpoint, spec.hiddenSize, spec.moe.intermediateSize);
    const moving = { mesh, timeoutMs, disk };
    const shared = { placement, ep, ...moving, countGather, clock, timeline, load: counts, rankLoad };
    const parts = { model: model({ ep, replicas }), ...shared };
    const executor = new RankExecutor(parts);
    tell(joined, { kind: 'loaded', report });
    options.onRunning();
    await runSteps(joined, executor, job.onPeerLoss, options.signal);
    executor.dispose();
  } finally {
    await mesh.close();
  }
}

/** Aborted when this rank is told to stop or its head is gone: a large checkpoint takes minutes to load. */
function stopSignal({ link }: JoinedRank, signal: AbortSignal): AbortSignal {
  const lost = new AbortController();
  void link.closed.then(() => lost.abort(headLost()));
  return AbortSignal.any([signal, lost.signal]);
}

const headLost = (): EngineError =>
  new EngineError('HEAD_LOST', 'the connection to the head closed; its log says why, start the job again');

type Loaded = Awaited<ReturnType<typeof load>>;

/** Everything a rank does before it knows its peers. The checkpoint stays open: experts may have to be read later. */
async function load(joined: JoinedRank, job: RankJob, options: RankOptions) {
  const startMs = performance.now();
  const modelDir = options.model ?? job.model;
  const signal = stopSignal(joined, options.signal);
  const { place = { ranksHere: 1, gpu: null } } = options;
  const wanted = backendOf(options.backend ?? job.backend, job.residence);
  const backend = await selectBackend(wanted, { webgpuAdapter: job.webgpuAdapter, hasCudaDevice: place.gpu !== null });
  const { configBytes } = await readModelFiles(modelDir);
  const { spec } = job;
  const { numExperts } = spec.moe.gate;
  const numLayers = moeLayersOf(spec).length;
  const { rank, size: numRanks } = joined;
  const placement = placementFrom(0, numRanks, numExperts, job.phy2log);
  const progress = progressOf(joined);
  const checkpoint = await openCheckpoint(modelDir, { onProgress: progress.onBytes });
  try {
    const names = tensorsOfRank(spec, checkpoint, placement, rank);
    progress.totalBytes = checkpoint.totalBytes(names);
    const residence = residenceOf(job.residence, backend.name, checkpoint);
    const { blockSize, numKvBlocks, maxNumBatchedTokens } = job;
    const numMovingLayers = job.moves?.numLayers ?? 0;
    const room = { blockSize, numKvBlocks, maxNumBatchedTokens, numMovingLayers };
    const shape = { spec, checkpoint, placement, rank, residence, ...room };
    const footprint = footprintOf(shape);
    const limits = {
      ...{ backend: backend.name, rank, numRanks, memoryBytes: MAX_MEMORY_BYTES },
      availableBytes: process.availableMemory(),
      totalBytes: machineBytes(),
      ranksHere: place.ranksHere,
      gpu: gpuOf(backend, place.gpu),
      ...(backend.maxTensorBytes !== undefined && { maxTensorBytes: backend.maxTensorBytes }),
    };
    checkMemory(footprint, residence, limits, footprintAt(shape));
    const fingerprint = new Fingerprint([configBytes, ...checkpoint.headers]);
    const timeline = job.trace ? new Timeline() : null;
    const clock = new Stopwatch(timeline?.onLap);
    const counters = { load: new LoadMonitor(numLayers, numExperts), rankLoad: new LoadMonitor(numLayers, numRanks) };
    const { mla, microBatches } = job;
    const expertDigests: Record<string, string> = {};
    const { readsHeadsFolder = false } = options;
    const model = await loadModel({
      spec,
      checkpoint,
      fingerprint,
      rank,
      placement,
      mla,
      residence,
      reserved: { firstBytes: footprint.cache + footprint.activations, eachBytes: footprint.received },
      blockSize,
      microBatches,
      clock,
      ...counters,
      ...(!readsHeadsFolder && { onExpertDigest: (key: string, digest: string) => void (expertDigests[key] = digest) }),
      signal,
    });
    const report: LoadReport = {
      backend: backend.name,
      backendDetail: backend.detail,
      residence,
      device: isOnGpu(backend) ? (place.gpu?.device ?? null) : null,
      bytesRead: checkpoint.bytesRead,
      headerBytesRead: checkpoint.headerBytesRead,
      loadMs: performance.now() - startMs,
      pid: process.pid,
      ...(!readsHeadsFolder && { expertDigests }),
      unused: firstOf(unusedTensors(spec, checkpoint)),
    };
    const digest = fingerprint.digest();
    return { placement, checkpoint, model, clock, timeline, ...counters, report, fingerprint: digest };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

/** Names that a message has room for. */
const firstOf = (names: readonly string[]): LoadReport['unused'] => ({ count: names.length, names: names.slice(0, 5) });

/** TensorFlow is taken by `auto` with a GPU alone. */
const isOnGpu = ({ name, isAutomatic }: BackendReport): boolean => name === 'tensorflow' && isAutomatic;

/** WebGPU doesn't tell how much memory its GPU has, nor which of the driver's it is. */
function gpuOf(backend: BackendReport, own: GpuMemory | null): GpuMemory | null {
  if (isOnGpu(backend)) return own ?? UNKNOWN_GPU;
  return backend.name === 'webgpu' && backend.isAutomatic ? UNKNOWN_GPU : null;
}

const UNKNOWN_GPU = { device: null, freeBytes: null, numRanks: 1 };

/** What all processes of this machine, or of its container, may use. */
function machineBytes(): number {
  const allowed = process.constrainedMemory();
  return allowed > 0 ? Math.min(allowed, totalmem()) : totalmem();
}

/** One message per hundredth, so that a large checkpoint doesn't flood the head, and one every few seconds, so that the head knows we live. */
function progressOf(joined: JoinedRank): { totalBytes: number; readonly onBytes: (bytes: number) => void } {
  let done = 0;
  let reported = 0;
  let reportedAtMs = performance.now();
  const progress = {
    totalBytes: Infinity,
    onBytes: (bytes: number): void => {
      done += bytes;
      const fraction = done / progress.totalBytes;
      const isNews = fraction >= reported + 0.01 || performance.now() - reportedAtMs > PROGRESS_EVERY_MS;
      if (!isNews || !joined.link.isOpen) return;
      reported = fraction;
      reportedAtMs = performance.now();
      joined.progress('weights', Math.min(1, fraction));
    },
  };
  return progress;
}

/** Plans in the order in which they come, one at a time; resolves when the head shuts the job down. */
function runSteps(
  joined: JoinedRank,
  executor: RankExecutor,
  onPeerLoss: RankJob['onPeerLoss'],
  signal: AbortSignal,
): Promise<void> {
  const { link, rank } = joined;
  return new Promise((resolve, reject) => {
    const steps = new RankSteps({
      rank,
      executor,
      onPeerLoss,
      tell: (message) => tell(joined, message),
      // A head that dies takes its ranks along, and their ends may be seen before its own.
      onFailed: (error) => void setTimeout(reject, isPeerLost(error) ? HEAD_FIRST_MS : 0, error),
    });
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    void link.closed.then(() => reject(headLost()));
    link.onMessage((message) => {
      if (message.type === 'shutdown') return resolve();
      if (message.type === 'failed') return reject(errorOfRemote(message.error));
      if (message.type === 'job') steps.take(message.body as HeadToRank);
    });
  });
}

const isPeerLost = (error: unknown): boolean => error instanceof CommError && error.code === 'PEER_LOST';

/** How long a rank that lost a peer looks whether it lost its head. */
const HEAD_FIRST_MS = 100;

const tell = (joined: JoinedRank, body: RankToHead): void => joined.link.send({ type: 'job', body });
