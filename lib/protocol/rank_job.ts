/** What the head tells every rank about the job when it joins. */
import { createHash } from 'node:crypto';
import type { Reduce } from '../../base/received_rows.js';
import { combineBytes, dispatchBytes, type Topology, type WireOptions } from '../../comm/all_to_all/all_to_all.js';
import { FRAME_HEADER_BYTES } from '../../comm/mesh/frame.js';
import { countGatherBytes } from '../../experts/placement/count_gather.js';
import { slotsOf, type Placement } from '../../experts/placement/placement.js';
import { maxRowBytes } from '../../compute/base/weight_rows.js';
import type { BackendChoice } from '../../compute/tfjs/tf.js';
import type { LossPolicy, SettledConfig } from '../config/loss_policy.js';
import type { ExpertwireConfig } from '../config/schema.js';
import type { KernelWish } from '../kernels/kernel_choice.js';
import type { WarmWish } from '../../experts/tiers/tier_plan.js';
import type { ResidenceChoice } from '../model/weights/residence.js';
import { heldTopkOf, numHeldOf } from '../model/spec/slices.js';
import { expertSizesOf, type MlaForm, type ModelSpec } from '../model/spec/spec.js';
import type { WireNames } from '../plugins/codecs.js';
import type { CodecTrial } from '../plugins/codec_trial.js';
import type { JobGate } from '../plugins/gates.js';
import type { JobPlugin } from '../plugins/plugin_code.js';
import type { KvStorePlan } from './kv_store_plan.js';
import { outputRowsAtOnce } from './look.js';

/** How many threads compute in a rank; 'auto': as many as it has cores of its machine. */
export type ThreadsWish = 'auto' | number;

/** One and the same for all ranks of a job. */
export interface RankJob {
  /** Model folder, as the head sees it. */
  readonly model: string;
  /** What the head read in its config.json; the fingerprint makes sure that every rank's is the same. */
  readonly spec: ModelSpec;
  /** Fields of config.json that are other than what is read there: a part of the fingerprint. */
  readonly modelOverrides: ExpertwireConfig['model_overrides'];
  /** What the head loaded, which every rank loads too. */
  readonly plugins: readonly JobPlugin[];
  /** Chooses experts instead of the model's own gate; null: nobody does. */
  readonly gate: JobGate | null;
  /** Every rank is one that the head started, which reads the head's own folder. */
  readonly isOneFolder: boolean;
  readonly backend: BackendChoice;
  /** Part of the name of the GPU that `webgpu` runs on; null: the fastest. */
  readonly webgpuAdapter: string | null;
  readonly residence: ResidenceChoice;
  /** That compute in each rank with the kernels; 'auto': the rank divides its machine's cores. */
  readonly threads: ThreadsWish;
  /** What is wanted of a rank's kernels. */
  readonly kernels: KernelWish;
  /** That it begins with: seats 0 … n − 1 are taken. */
  readonly numRanks: number;
  /** [MoE layers][slots of all seats]: the placement. */
  readonly phy2log: readonly Int32Array[];
  /** By name. */
  readonly replicaChoice: string;
  /** Of a rank's experts some are on disk; null: all are resident. */
  readonly tiers: TierWish | null;
  readonly reduce: Reduce;
  /** By name. */
  readonly wire: WireNames;
  /** What the head's codecs of plug-ins did, which every rank's must do. */
  readonly codecs: readonly CodecTrial[];
  readonly microBatches: number;
  /** Sockets in a thread of their own. */
  readonly ioThread: boolean;
  /** Over 1: ranks are numbered node by node, and rows cross to another node once. */
  readonly numNodes: number;
  /** Report what ran when with each step's result. */
  readonly trace: boolean;
  readonly mla: MlaForm;
  readonly timeoutMs: number;
  /** Other than 'fail': a rank that misses a peer waits for the head to declare a new epoch. */
  readonly onPeerLoss: LossPolicy;
  /** How long a rank keeps what it holds when its head is gone, for a new one; 0: it ends. */
  readonly headGraceMs: number;
  /** Of all that ranks of one job must be told alike: see {@link jobDigest}. */
  readonly digest: string;
  /** Tokens per KV block. */
  readonly blockSize: number;
  readonly numKvBlocks: number;
  /** Of sequences and of blocks that keep one; 0 where all layers have keys and values. */
  readonly numStates: number;
  readonly maxNumBatchedTokens: number;
  /** Experts may move to other ranks while steps run; null: they stay. */
  readonly moves: MoveLimits | null;
  /** Bytes of sequences that move which a rank sends, and gets, beside one step at most; 0: sequences stay. */
  readonly kvBytesPerStep: number;
  /** Where ranks of other instances read keys and values: at this port and a rank's seat, 0: at any that is free; null: nowhere. */
  readonly kvPort: number | null;
  /** Where a rank keeps blocks that its cache has no room for; null: nowhere. */
  readonly kvStore: KvStorePlan | null;
}

/** What is wanted where not all experts of a rank are resident. */
export interface TierWish {
  /** That they may take. */
  readonly maxBytes: number;
  /** By name: which goes where not all fit. */
  readonly policy: string;
  /** Copies of those that aren't in memory; null: there are none. */
  readonly warm: WarmWish | null;
}

/** What a configuration wants; null: all experts are resident. */
export const tierWishOf = ({ experts }: Pick<ExpertwireConfig, 'experts'>): TierWish | null =>
  experts.max_resident_bytes === null
    ? null
    : { maxBytes: experts.max_resident_bytes, policy: experts.tier_policy, warm: warmWishOf(experts) };

/** The same of copies. */
export const warmWishOf = ({ warm }: Pick<ExpertwireConfig['experts'], 'warm'>): WarmWish | null =>
  warm.bytes === null ? null : { dtype: warm.dtype, maxBytes: warm.bytes };

/** What moving experts may take of a rank. */
export interface MoveLimits {
  /** Bytes that a rank sends, and receives, beside one step at most: at least a row of an expert. */
  readonly bytesPerStep: number;
  /** MoE layers of which a rank holds two placements at a time. */
  readonly numLayers: number;
  /** For the sake of the load, so that ranks begin with room for it. Otherwise experts move where ranks come and go, and who is to take some looks for room then. */
  readonly isRegular: boolean;
}

/** What the configuration lets experts do: they move for the sake of the load, and where ranks come and go. */
export function moveLimitsOf({ load_balance: config, comm }: SettledConfig, spec: ModelSpec): MoveLimits | null {
  if (!config.enabled && comm.on_peer_loss !== 'recover') return null;
  // Ranks know what their weights are kept as; float32 is the largest.
  const shape = { ...expertSizesOf(spec), dtype: 'f32' } as const;
  return {
    bytesPerStep: Math.max(config.bytes_per_step, maxRowBytes(shape)),
    numLayers: config.layer_updates_per_step,
    isRegular: config.enabled,
  };
}

/** MoE layers for which a rank begins with room to move experts. Who joins needs it for its share. */
export function movingLayersOf(moves: MoveLimits | null, placement: Placement, rank: number): number {
  if (moves === null) return 0;
  const isJoining = placement.phy2log.every((_, moeLayer) =>
    slotsOf(placement, moeLayer, rank).every((logical) => logical < 0),
  );
  return moves.isRegular || isJoining ? moves.numLayers : 0;
}

/** Equal for two heads whose ranks compute the same from the same. Where experts are, and how ranks came, is no part of it. */
export const jobDigest = (job: Omit<RankJob, 'digest' | 'phy2log'>): string =>
  createHash('sha256').update(JSON.stringify(job)).digest('hex');

/** Which ranks share a node. */
export const topologyOf = ({ numNodes }: RankJob, numRanks: number): Topology => ({
  ranksPerNode: numRanks / numNodes,
  route: numNodes === 1 ? 'flat' : 'hierarchical',
});

/** What a forwarding rank adds to a frame, at most: counts per node and states per rank. */
const FORWARDING_BYTES = 4 * 65536;

/**
 * The largest frame of a job: all tokens of a rank's step to one other rank, or all their experts' rows back; with several nodes, those of one
 * rank of each node, which a rank forwards. `wire`: what the job's names stand for.
 */
export function maxFrameBytesOf(job: RankJob, wire: Required<WireOptions>): number {
  const { maxNumBatchedTokens, reduce, numNodes } = job;
  const { hiddenSize: hidden } = job.spec;
  const numTopk = heldTopkOf(job.spec);
  const numTokens = maxNumBatchedTokens * numNodes;
  const payload = Math.max(
    dispatchBytes(numTokens, { hidden, numTopk, reduce, dtype: wire.dispatch }),
    combineBytes(reduce === 'source' ? numTokens * numTopk : numTokens, hidden, wire.combine),
    combineBytes(outputRowsAtOnce(maxNumBatchedTokens), hidden, 'f32'),
    countGatherBytes(numHeldOf(job.spec)),
  );
  const step = payload + (numNodes > 1 ? FORWARDING_BYTES : 0);
  return FRAME_HEADER_BYTES + Math.max(step, job.moves?.bytesPerStep ?? 0, job.kvBytesPerStep);
}

/**
 * Micro-batches for which a mesh makes room: what moves, experts and sequences, waits beside the rows of a step, at most one step's of each. Where choices come later, each
 * has two exchanges per layer, and the results of the layer before may still wait.
 */
export const roomOf = ({ microBatches, moves, kvBytesPerStep, spec }: RankJob): number =>
  microBatches * ((spec.moe.gate.numDeferred ?? 0) > 0 ? 3 : 1) +
  (moves === null ? 0 : 1) +
  (kvBytesPerStep === 0 ? 0 : 1);
