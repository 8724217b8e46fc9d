/** How many bytes a rank will hold: from the headers of a checkpoint, before a weight is read. Pure. */
import { mostOf } from '../../../experts/placement/expert_counts.js';
import type { Rank } from '../../../base/ids.js';
import { workspaceBytes } from '../../../compute/wasm/experts/kernel_workspace.js';
import { MEMORY_ROOM_BYTES } from '../../../compute/wasm/memory/kernel_memories.js';
import { residentBytes } from '../../../compute/wasm/memory/resident_dtype.js';
import type { WarmWish } from '../../../experts/tiers/tier_plan.js';
import { createPlacement, slotsOf, type Placement } from '../../../experts/placement/placement.js';
import { withRedundancy } from '../../../experts/placement/redundancy.js';
import { dtypesIn, expertDtype } from '../../../compute/base/expert_dtypes.js';
import type { WeightDtype } from '../../../compute/base/weight_matrix.js';
import type { KnownWeights, WeightInfo } from '../stored/model_weights.js';
import { cacheBlockBytes, stateFloatsOf } from '../spec/cache_layout.js';
import {
  MAX_RARE_BYTES,
  denseSizesOf,
  kernelRows,
  largestPart,
  logitBytes,
  type DenseSizes,
  type UndividedPart,
} from './dense_sizes.js';
import { isExpertTensor, isHeadTied, tensorsOfRank } from './rank_tensors.js';
import { keptDtype, type Residence } from './residence.js';
import { planSpread, type Spread } from './spread.js';
import { activationBytes } from './step_sizes.js';
import { expertOf, heldTopkOf } from '../spec/slices.js';
import { planTiers } from './tiers.js';
import { expertSizesOf, kvFloatsPerToken, moeLayersOf, numAttentionLayersOf, type ModelSpec } from '../spec/spec.js';
import * as names from '../spec/tensor_names.js';

/** Bytes that a rank will hold. */
export interface Footprint {
  /** What every rank holds alike. */
  readonly dense: number;
  /** The experts in its slots. */
  readonly experts: number;
  /** Experts that it may hold besides while some move. */
  readonly moving: number;
  readonly cache: number;
  /** Blocks that it keeps beside its cache, always in the machine's memory. Default 0. */
  readonly tiers?: number;
  /**
   * Hidden states and what is computed from them, of the largest step, in each memory that dense weights lie in; logits of all its tokens, at most 256 MiB, since few
   * steps want them.
   */
  readonly activations: number;
  /** {@link receivedEach} in each memory of the kernels that holds experts. */
  readonly received: number;
  /**
   * What experts compute from, of a step in which all ranks send all they have here, at most 256 MiB, since that is rare; and what the kernels need besides, of which
   * threads have areas of their own.
   */
  readonly receivedEach: number;
  /** Of its tensors, the largest; matrices that are read in one product are one. 0 where the kernels compute. */
  readonly largestTensor: number;
  /** Of what can't be divided, the largest; null where tensors compute. */
  readonly largestPart: UndividedPart | null;
  /** Over the kernels' memories; null where tensors compute, and where a part fits none. */
  readonly spread: Spread | null;
}

/** What a rank would hold if the job had so many ranks, experts spread evenly: the one that holds most. Null where a job can't have so many. */
export type FootprintAt = (numRanks: number) => Footprint | null;

/** What the size of a rank depends on. All limits are of one rank. */
export interface FootprintOptions {
  readonly spec: ModelSpec;
  readonly weights: KnownWeights;
  /** By seat, of which some may be empty. */
  readonly placement: Placement;
  readonly rank: Rank;
  /** Ranks whose tokens may come here in one step. Default: one on each seat. */
  readonly numMembers?: number;
  readonly residence: Residence;
  readonly blockSize: number;
  readonly numKvBlocks: number;
  /** Of sequences and of blocks that keep one. Default 0: all layers have keys and values. */
  readonly numStates?: number;
  /** Of a tier in memory. Default 0. */
  readonly tierBytes?: number;
  readonly maxNumBatchedTokens: number;
  /** That compute with the kernels. */
  readonly numThreads: number;
  /** That experts may take, the others being on disk. Default null: all are resident. */
  readonly maxResidentBytes?: number | null;
  /** Copies of those that aren't resident. Default null: there are none. */
  readonly warm?: WarmWish | null;
  /** MoE layers whose experts may be held twice, while some move, and whose empty slots may fill; 0: experts stay. */
  readonly numMovingLayers: number;
  /** Of a kernel memory. Default {@link MEMORY_ROOM_BYTES}. */
  readonly memoryBytes?: number;
}

/** What one rank will hold under the placement given. */
export function footprintOf(options: FootprintOptions): Footprint {
  const { spec, weights, placement, rank } = options;
  const all = tensorsOfRank(spec, weights, placement, rank);
  const sum = (list: readonly string[]): number =>
    list.reduce((total, name) => total + bytesOf(weights.info(name), options), 0);
  const { numMembers = placement.numRanks } = options;
  return withReceived(
    options,
    { numMembers, slotsPerRank: placement.slotsPerRank },
    inTiers(options, placement, {
      ...sameOnAll(options),
      dense: sum(all.filter((name) => !isExpertTensor(name))) + headBytes(options),
      experts: heldExperts(placement, rank).reduce((total, expert) => total + expertBytes(options, expert), 0),
      moving: numMovingExperts(options) * largestExpertBytes(options),
    }),
  );
}

/** {@link FootprintAt} for the same model and as many slots, under a linear placement. */
export function footprintAt(options: FootprintOptions): FootprintAt {
  const { spec, weights, placement } = options;
  const numSlots = Math.max(...placement.phy2log.map((table) => table.filter((logical) => logical >= 0).length));
  const none = { ...placement, phy2log: placement.phy2log.map((table) => table.map(() => -1)) };
  const dense = tensorsOfRank(spec, weights, none, options.rank);
  const denseBytes = dense.reduce((total, name) => total + bytesOf(weights.info(name), options), 0);
  const numLayers = moeLayersOf(spec).length;
  return (numRanks) => {
    const spread = spreadOver(numRanks, placement.numExperts, numSlots);
    if (spread === null) return null;
    const perLayer = spread.slotsPerRank * largestExpertBytes(options);
    return withReceived(
      options,
      { numMembers: numRanks, slotsPerRank: spread.slotsPerRank },
      inTiers(
        options,
        { ...spread, log2phy: placement.log2phy },
        {
          ...sameOnAll(options),
          dense: denseBytes + headBytes(options),
          experts: mostExpertBytes(options, spread, placement.numExperts),
          moving: Math.min(options.numMovingLayers, numLayers) * perLayer,
        },
      ),
    );
  };
}

/** Where experts have a limit, they, those that move and copies take what their places do, and never more. */
function inTiers(
  { spec, residence, maxResidentBytes = null, warm = null }: FootprintOptions,
  placement: Pick<Placement, 'log2phy' | 'slotsPerRank'>,
  whole: Omit<Footprint, 'received' | 'receivedEach'>,
): Omit<Footprint, 'received' | 'receivedEach'> {
  if (maxResidentBytes === null || residence.compute === 'tensors') return whole;
  const { numBytes } = planTiers({ spec, residence, placement, maxResidentBytes, warm });
  return { ...whole, experts: numBytes, moving: 0 };
}

/** One layer for each number of experts that layers have, by {@link kindsOf}; null where some ranks would hold an expert twice. */
function spreadOver(numRanks: number, counts: readonly number[], numSlots: number): Placement | null {
  const numExperts = kindsOf(counts);
  const numMost = mostOf(numExperts);
  const numRedundant = numSlots - numMost;
  if (numRedundant > numMost * (numRanks - 1)) return null;
  const shape = { numLayers: numExperts.length, numExperts, numRanks };
  return withRedundancy(createPlacement('linear', shape), numRedundant);
}

const kindsOf = (counts: readonly number[]): readonly number[] => [...new Set(counts)];

/** What doesn't depend on who holds which expert. */
function sameOnAll(
  options: FootprintOptions,
): Pick<Footprint, 'cache' | 'tiers' | 'activations' | 'largestTensor' | 'largestPart' | 'spread'> {
  const {
    spec,
    residence,
    maxNumBatchedTokens,
    blockSize,
    numKvBlocks,
    numStates = 0,
    tierBytes = 0,
    memoryBytes = MEMORY_ROOM_BYTES,
  } = options;
  const numStateFloats = stateFloatsOf(spec.layers, spec.hiddenSize);
  const sizes = residence.compute === 'kernels' ? denseSizesOf(options) : null;
  const spread = sizes && planSpread(sizes, memoryBytes);
  const numMemories = spread?.reservedBytes.length ?? 1;
  return {
    cache: numKvBlocks * cachedBlockBytes(spec, residence, blockSize) + 4 * numStates * numStateFloats,
    tiers: tierBytes,
    activations: numMemories * stepOf(sizes, options) + logitBytes(spec, maxNumBatchedTokens),
    largestTensor: residence.compute === 'tensors' ? largestTensor(options) : 0,
    largestPart: sizes && largestPart(sizes),
    spread,
  };
}

const stepOf = (sizes: DenseSizes | null, { spec, maxNumBatchedTokens }: FootprintOptions): number =>
  sizes?.step ?? activationBytes(spec, maxNumBatchedTokens);

/** Gate and up projections of a network are one tensor. */
function largestTensor({ spec, weights, placement, rank }: FootprintOptions): number {
  const { hiddenSize, moe, layers } = spec;
  const widths = layers.map((layer) => (layer.kind === 'dense' ? layer.intermediateSize : 0));
  const fused = 2 * hiddenSize * Math.max(...widths, moe.intermediateSize, moe.sharedIntermediateSize);
  const sizes = tensorsOfRank(spec, weights, placement, rank).map((name) => {
    const [rows, columns = 1] = weights.info(name).shape;
    return rows * columns;
  });
  return 4 * sizes.reduce((largest, size) => Math.max(largest, size), fused);
}

/** An embedding that is the head too: tensors hold it a second time, the other way round. */
function headBytes(options: FootprintOptions): number {
  const { spec, weights, residence } = options;
  const isTwice = isHeadTied(spec, weights) && residence.compute === 'tensors';
  return isTwice ? bytesOf(weights.info(names.EMBEDDING), options) : 0;
}

type ExpertForms = Pick<FootprintOptions, 'spec' | 'residence'>;

/** Of one expert. */
export const expertBytes = (options: ExpertForms, { moeLayer, logical }: HeldExpert): number =>
  bytesAs(options, expertDtype(options.residence.experts, moeLayer, expertOf(options.spec, logical)));

/** Of any expert, at most. */
export const largestExpertBytes = (options: ExpertForms): number =>
  Math.max(...dtypesIn(options.residence.experts).map((dtype) => bytesAs(options, dtype)));

/** Of the rank that holds most. `spread`: as {@link spreadOver} has it. */
function mostExpertBytes(options: ExpertForms, spread: Placement, counts: readonly number[]): number {
  const { experts } = options.residence;
  const kinds = kindsOf(counts);
  const numLayers = kinds.map((kind) => counts.filter((count) => count === kind).length);
  const all = { ...spread, phy2log: counts.map((count) => spread.phy2log[kinds.indexOf(count)]!) };
  const ofRank = (_: unknown, rank: number): number =>
    typeof experts === 'string'
      ? numHeldBy(spread, rank).reduce((sum, held, kind) => sum + held * numLayers[kind]!, 0) *
        bytesAs(options, experts)
      : heldExperts(all, rank).reduce((total, expert) => total + expertBytes(options, expert), 0);
  return Math.max(...Array.from({ length: spread.numRanks }, ofRank));
}

/** A routed expert of a rank; slices count as experts. */
export interface HeldExpert {
  readonly moeLayer: number;
  readonly logical: number;
}

/** One per slot that holds any. */
export const heldExperts = (placement: Placement, rank: number): HeldExpert[] =>
  [...placement.phy2log.keys()].flatMap((moeLayer) =>
    Array.from(slotsOf(placement, moeLayer, rank)).flatMap((logical) => (logical < 0 ? [] : [{ moeLayer, logical }])),
  );

/** [L] of each layer. */
const numHeldBy = (placement: Placement, rank: number): number[] =>
  placement.phy2log.map((_, moeLayer) => slotsOf(placement, moeLayer, rank).filter((logical) => logical >= 0).length);

function bytesAs({ spec, residence }: ExpertForms, dtype: WeightDtype): number {
  const { hidden, intermediate, hasBias } = expertSizesOf(spec);
  return (
    2 * matrixBytes(residence, dtype, intermediate, hidden) +
    matrixBytes(residence, dtype, hidden, intermediate) +
    (hasBias === true ? 4 * (2 * intermediate + hidden) : 0)
  );
}

/**
 * What moving experts may add to those of the placement: as many in each layer as the fullest rank has, and some layers twice. Further slots are addresses for
 * what a rank takes over from lost ones, for which there may be room or not.
 */
function numMovingExperts({ numMovingLayers, placement, rank }: FootprintOptions): number {
  if (numMovingLayers === 0) return 0;
  const { phy2log, numRanks } = placement;
  const most = Math.max(0, ...Array.from({ length: numRanks }, (_, seat) => numHeldBy(placement, seat)).flat());
  const numOwn = numHeldBy(placement, rank).reduce((sum, count) => sum + count, 0);
  return phy2log.length * most - numOwn + Math.min(numMovingLayers, phy2log.length) * most;
}

/**
 * Bytes of a block in the KV cache of a rank. Latents are read both as keys and as values, and tensors keep them in both layouts; a head's keys
 * or values have one.
 */
export function cachedBlockBytes(
  spec: ModelSpec,
  { compute, kv = 'f32' }: Pick<Residence, 'compute' | 'kv'>,
  blockSize: number,
): number {
  if (compute === 'kernels') return numAttentionLayersOf(spec) * cacheBlockBytes(spec.attention, kv, blockSize);
  return (spec.attention.kind === 'mla' ? 8 : 4) * blockSize * kvFloatsPerToken(spec);
}

type Slots = Required<Pick<FootprintOptions, 'numMembers'>> & Pick<Placement, 'slotsPerRank'>;

function withReceived(
  options: FootprintOptions,
  slots: Slots,
  rest: Omit<Footprint, 'received' | 'receivedEach'>,
): Footprint {
  const receivedEach = receivedBytes(options, slots);
  return { ...rest, receivedEach, received: numMemoriesOf(rest, receivedEach, options) * receivedEach };
}

/** Memories with experts, at most: they fill what the dense part leaves of its own, and then further ones. */
function numMemoriesOf(
  { spread, dense, experts, moving, cache, activations }: Omit<Footprint, 'received' | 'receivedEach'>,
  receivedEach: number,
  { residence, memoryBytes = MEMORY_ROOM_BYTES }: FootprintOptions,
): number {
  if (residence.compute === 'tensors') return 1;
  const numDense = spread?.reservedBytes.length ?? 1;
  const left = Math.max(0, numDense * (memoryBytes - receivedEach) - dense - cache - activations);
  return numDense + Math.ceil(Math.max(0, experts + moving - left) / Math.max(1, memoryBytes - receivedEach));
}

/** Rows, an output for each of their choices, sums of those, and what the kernels need besides. */
function receivedBytes(
  { spec, residence, maxNumBatchedTokens, numThreads }: FootprintOptions,
  { numMembers, slotsPerRank }: Slots,
): number {
  const numRows = numMembers * maxNumBatchedTokens;
  const { hidden, intermediate } = expertSizesOf(spec);
  const numTopk = heldTopkOf(spec);
  const numChoices = Math.min(numTopk, slotsPerRank);
  if (residence.compute === 'tensors') return Math.min(MAX_RARE_BYTES, 4 * numRows * (2 + numChoices) * hidden);
  const shape = { hidden, intermediate, numTopk, numThreads };
  const call = { ...shape, numRows, numPairs: numRows * numChoices, numGroups: slotsPerRank };
  const { rows, scratch } = workspaceBytes(call);
  return Math.min(MAX_RARE_BYTES, rows) + scratch;
}

/** Of a tensor outside the routed experts. */
export function bytesOf(
  info: WeightInfo,
  { spec: { attention }, weights, residence }: Pick<FootprintOptions, 'spec' | 'weights' | 'residence'>,
): number {
  const [rows, columns, ...further] = info.shape;
  if (further.length > 0) return 4 * info.shape.reduce((a, b) => a * b, 1);
  if (columns === undefined) return 4 * rows;
  const dtype = keptDtype(weights, info.name, residence);
  const keptRows = residence.compute === 'kernels' ? kernelRows(info, attention) : rows;
  return matrixBytes(residence, dtype, keptRows, columns);
}

/** Tensors are float32 whatever the weights were rounded to. */
const matrixBytes = ({ compute }: Residence, dtype: WeightDtype, rows: number, columns: number): number =>
  compute === 'tensors' ? 4 * rows * columns : residentBytes(dtype, rows, columns);
