/** What a rank does before it knows its peers: reads its part of the checkpoint, if there is room, and says what it read. */
import { totalmem } from 'node:os';
import type { JoinedRank } from '../../comm/job/join.js';
import { ExpertError } from '../../compute/base/errors.js';
import { Stopwatch, type OnLap } from '../../compute/base/stopwatch.js';
import { selectBackend, type BackendChoice, type BackendReport } from '../../compute/tfjs/tf.js';
import { MEMORY_ROOM_BYTES } from '../../compute/wasm/memory/kernel_memories.js';
import type { Crew } from '../../compute/wasm/threads/crew.js';
import type { ExpertRoom } from '../../experts/layer/migration.js';
import { LoadMonitor } from '../../experts/load/load_monitor.js';
import { placementFrom, type Placement } from '../../experts/placement/placement.js';
import { folderLikeHeads } from '../hub/cache/cached_model.js';
import { Timeline } from '../metrics/timeline.js';
import { loadModel, type LoadedModel } from '../model/load_model.js';
import { heldCountsOf } from '../model/spec/slices.js';
import { expertCountsOf, moeLayersOf } from '../model/spec/spec.js';
import { openWeights, type ModelWeights } from '../model/stored/model_weights.js';
import { expertRoom } from '../model/weights/expert_room.js';
import { footprintAt, footprintOf, largestExpertBytes } from '../model/weights/footprint.js';
import { footprintAs } from '../model/weights/footprint_changes.js';
import { checkMemory, type GpuMemory, type MemoryLimits } from '../model/weights/memory_check.js';
import { denseTensors, unusedTensors } from '../model/weights/rank_tensors.js';
import { backendOf, residenceOf } from '../model/weights/residence.js';
import { bytesToRead } from '../model/weights/sliced_experts.js';
import { checkCodecs } from '../plugins/codec_trial.js';
import { rankGate } from '../plugins/gates.js';
import { tierPolicyNamed } from '../plugins/tier_policies.js';
import { loadJobPlugins, proofsOf } from '../plugins/job_plugins.js';
import type { PluginRegistry } from '../plugins/plugin_registry.js';
import { movingLayersOf, type RankJob, type ThreadsWish } from '../protocol/rank_job.js';
import type { LoadReport } from '../protocol/step_plan.js';
import { readModelFiles } from '../weights/model_files.js';
import type { RankExecutorParts } from './rank_executor.js';
import { ANY_PLACE, type RankPlace } from './rank_place.js';
import { numThreadsOf, startRankCrew } from './rank_crew.js';
import { agreedKernels } from './rank_kernels.js';
import { proofOf } from './rank_proof.js';

/** What a rank may have otherwise than its job. */
export interface LoadChoices {
  /** Model folder on this machine. Default: the head's path, or the same model of the hub's cache where there is no such path. */
  readonly model?: string;
  /** Where this machine's cache of the hub is. Default: none is looked at. */
  readonly hubCache?: string;
  /** Default: the job's. */
  readonly backend?: BackendChoice;
  /** Where the files of the job's plug-ins are on this machine, in their order. Default: the head's paths. */
  readonly plugins?: readonly string[];
  /** That compute with the kernels. Default: the job's. */
  readonly threads?: ThreadsWish;
  /** Its model folder is the head's own: nobody needs a proof of what it read. Default false. */
  readonly readsHeadsFolder?: boolean;
  /** What it has of its machine. Default: all, and no GPU of which anything is known. */
  readonly place?: RankPlace;
  /** What its steps are measured with: in experiments one that takes time of its own. Default: one that doesn't. */
  readonly stopwatch?: (onLap: OnLap | undefined) => Stopwatch;
}

/** A rank that has loaded, and lacks its way to the others. */
export interface LoadedRank {
  readonly placement: Placement;
  readonly plugins: PluginRegistry;
  /** Open, for experts that have to be read later: its owner closes it. */
  readonly weights: ModelWeights;
  /** Threads that compute: its owner ends them. Null where there are none. */
  readonly crew: Crew | null;
  readonly model: LoadedModel;
  /** For experts that have to be read later. */
  readonly room: ExpertRoom;
  /** What its steps are measured with. */
  readonly meters: Pick<RankExecutorParts, 'clock' | 'timeline' | 'load' | 'rankLoad'>;
  readonly report: LoadReport;
  /** Of what all ranks must have read alike. */
  readonly fingerprint: string;
}

/** @throws ExpertError, WeightError, ModelError or PluginError: why it can't; the reason of `signal`, which ends the loading */
export async function loadRank(joined: JoinedRank, choices: LoadChoices, signal: AbortSignal): Promise<LoadedRank> {
  const startMs = performance.now();
  const job = jobOf(joined);
  const { spec, blockSize, numKvBlocks, numStates, maxNumBatchedTokens, mla, microBatches } = job;
  const { readsHeadsFolder = false, place = ANY_PLACE, stopwatch = plainStopwatch } = choices;
  const modelDir = choices.model ?? folderLikeHeads(job.model, choices.hubCache);
  const plugins = await loadJobPlugins(job.plugins, choices.plugins);
  const gate = job.gate && rankGate(job.gate, plugins, spec, joined.rank);
  checkCodecs(job.codecs, plugins, spec.hiddenSize, joined.rank);
  const wanted = backendOf(choices.backend ?? job.backend, job.residence);
  const hasKernels = job.residence.compute !== 'tensors';
  const machine = { webgpuAdapter: job.webgpuAdapter, hasCudaDevice: place.gpu !== null };
  const backend = await selectBackend(wanted, { ...machine, hasKernels });
  const { configBytes } = await readModelFiles(modelDir);
  const numLayers = moeLayersOf(spec).length;
  const { rank, size: numRanks } = joined;
  const placement = placementFrom(0, numRanks, heldCountsOf(spec), job.phy2log);
  const progress = progressOf(joined);
  let crew: Crew | null = null;
  const weights = await openWeights(modelDir, spec, { onProgress: progress.onBytes });
  try {
    const residence = residenceOf(job.residence, backend.name, weights);
    const { tiers } = job;
    if (tiers !== null && residence.compute === 'tensors') throw needsKernels(backend.name);
    const maxResidentBytes = tiers?.maxBytes ?? null;
    progress.totalBytes =
      tiers === null
        ? bytesToRead({ spec, weights, placement, rank, residence })
        : weights.totalBytes(denseTensors(spec, weights));
    const room = {
      blockSize,
      numKvBlocks,
      numStates,
      tierBytes: job.kvStore?.ramBytes ?? 0,
      maxNumBatchedTokens,
      numMovingLayers: movingLayersOf(job.moves, placement, rank),
    };
    const wish = choices.threads ?? job.threads;
    const numThreads = residence.compute === 'kernels' ? numThreadsOf(wish, place.numCores) : 1;
    const shape = {
      spec,
      weights,
      placement,
      rank,
      numMembers: job.numRanks,
      residence,
      numThreads,
      maxResidentBytes,
      warm: tiers?.warm ?? null,
      ...room,
    };
    const footprint = footprintOf(shape);
    const memory = memoryOf(joined, backend, place);
    checkMemory(footprint, residence, memory, {
      at: footprintAt(shape),
      as: footprintAs(shape, job.residence, backend.name),
    });
    const agreed = await agreedKernels(joined, residence, place.kernels, signal);
    const started = agreed && (await startRankCrew(wish, place, agreed));
    crew = started?.crew ?? null;
    const kernels = agreed && started && { ...agreed, ...started.report };
    const timeline = job.trace ? new Timeline() : null;
    const meters = {
      clock: stopwatch(timeline?.onLap),
      timeline,
      load: new LoadMonitor(numLayers, expertCountsOf(spec)),
      rankLoad: new LoadMonitor(numLayers, numRanks),
    };
    const { isOneFolder, modelOverrides } = job;
    const read = {
      spec,
      weights,
      configBytes,
      modelOverrides,
      plugins: proofsOf(job.plugins),
      placement,
      rank,
      readsHeadsFolder,
      isOneFolder,
      numThreads,
    };
    const [model, proof] = await together(
      signal,
      (ending) =>
        loadModel({
          ...{ ...shape, ...meters, mla, microBatches, crew, gate, signal: ending },
          ...(kernels !== null && { kernels }),
          tiers: tiers && { ...tiers, policy: tierPolicyNamed(tiers.policy, plugins) },
          spread: footprint.spread,
          reserved: { eachBytes: footprint.receivedEach, weightBytes: footprint.dense + footprint.experts },
        }),
      (ending) => proofOf({ ...read, signal: ending }),
    );
    const { checkpoint } = weights;
    await checkpoint.checkUnchanged();
    const { unknown, skipped } = unusedTensors(spec, weights);
    const report: LoadReport = {
      backend: backend.name,
      backendDetail: backend.detail,
      residence,
      kernels,
      device: isOnGpu(backend) ? (place.gpu?.device ?? null) : null,
      bytesRead: checkpoint.bytesRead,
      headerBytesRead: checkpoint.headerBytesRead,
      loadMs: performance.now() - startMs,
      pid: process.pid,
      kvDoor: null,
      ...(!readsHeadsFolder && { expertDigests: proof.expertDigests }),
      unused: { count: unknown.length, names: unknown.slice(0, 5), skipped }, // names that a message has room for
    };
    const later = tiers === null ? roomOf(memory, largestExpertBytes(shape)) : ANY_NUMBER;
    return { placement, plugins, weights, crew, model, room: later, meters, report, fingerprint: proof.fingerprint };
  } catch (error) {
    await crew?.close();
    await weights.close();
    throw error;
  }
}

function needsKernels(backend: string): ExpertError {
  const message = `experts.max_resident_bytes needs compute: kernels, this rank computes with ${backend} tensors; leave it out, or choose backend: wasm`;
  return new ExpertError('INVALID_ARGUMENT', message);
}

const plainStopwatch = (onLap: OnLap | undefined): Stopwatch => new Stopwatch(onLap);

/** Both at once. What one fails with ends the other, and is thrown when both have ended. */
async function together<A, B>(
  signal: AbortSignal,
  first: (signal: AbortSignal) => Promise<A>,
  second: (signal: AbortSignal) => Promise<B>,
): Promise<[A, B]> {
  const failed = new AbortController();
  const ending = AbortSignal.any([signal, failed.signal]);
  const guarded = <T>(work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      failed.abort(error);
      throw error;
    });
  const [a, b] = await Promise.allSettled([guarded(first(ending)), guarded(second(ending))]);
  if (a.status === 'fulfilled' && b.status === 'fulfilled') return [a.value, b.value];
  throw ending.reason;
}

/** An authenticated head of the same protocol version wrote it. */
export const jobOf = ({ job }: Pick<JoinedRank, 'job'>): RankJob => job as RankJob;

/** What there is of memory. */
function memoryOf(joined: JoinedRank, backend: BackendReport, place: RankPlace): MemoryLimits {
  const { rank } = joined;
  const { numRanks } = jobOf(joined);
  const allowed = process.constrainedMemory(); // of a container
  return {
    ...{ backend: backend.name, rank, numRanks, memoryBytes: MEMORY_ROOM_BYTES },
    availableBytes: process.availableMemory(),
    totalBytes: allowed > 0 ? Math.min(allowed, totalmem()) : totalmem(),
    ranksHere: place.ranksHere,
    gpu: gpuOf(backend, place.gpu),
    ...(backend.maxTensorBytes !== undefined && { maxTensorBytes: backend.maxTensorBytes }),
  };
}

/** What a GPU has left isn't known before it is full. */
function roomOf({ gpu, ranksHere }: MemoryLimits, eachBytes: number): ExpertRoom {
  if (gpu !== null) return ANY_NUMBER;
  return expertRoom({ eachBytes, availableBytes: () => process.availableMemory(), isShared: ranksHere > 1 });
}

/** Experts that are on disk take no memory. */
const ANY_NUMBER: ExpertRoom = (numOwn) => numOwn;

/** TensorFlow is taken by `auto` with a GPU alone. */
const isOnGpu = ({ name, isAutomatic }: BackendReport): boolean => name === 'tensorflow' && isAutomatic;

/** WebGPU doesn't tell how much memory its GPU has, nor which of the driver's it is. */
function gpuOf(backend: BackendReport, own: GpuMemory | null): GpuMemory | null {
  if (isOnGpu(backend)) return own ?? UNKNOWN_GPU;
  return backend.name === 'webgpu' && backend.isAutomatic ? UNKNOWN_GPU : null;
}

const UNKNOWN_GPU = { device: null, freeBytes: null, numRanks: 1 };

const PROGRESS_EVERY_MS = 5000;
/** As often as anybody sees: each message wakes the head. */
const PROGRESS_AT_MOST_EVERY_MS = 50;

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
      const sinceMs = performance.now() - reportedAtMs;
      const isNews = fraction >= reported + 0.01 ? sinceMs > PROGRESS_AT_MOST_EVERY_MS : sinceMs > PROGRESS_EVERY_MS;
      if (!isNews || !joined.link.isOpen) return;
      reported = fraction;
      reportedAtMs = performance.now();
      joined.progress('weights', Math.min(1, fraction));
    },
  };
  return progress;
}
