/** How many bytes a rank will hold, and whether they fit: from the headers of a checkpoint, before a weight is read. Pure. */
import type { Rank } from '../../comm/ids.js';
import { ExpertError } from '../../experts/errors.js';
import { residentBytes } from '../../experts/kernels/resident_dtype.js';
import type { Placement } from '../../experts/placement.js';
import { WASM_MAX_WEIGHT_BYTES, type BackendName } from '../../experts/tf.js';
import type { WeightDtype } from '../../experts/weight_matrix.js';
import type { Checkpoint } from '../weights/checkpoint.js';
import type { TensorInfo } from '../weights/safetensors_header.js';
import { cacheFloatsPerToken } from './kernels/cache_layout.js';
import { isExpertTensor, tensorsOfRank } from './rank_tensors.js';
import { denseDtype, type Residence } from './residence.js';
import { kvFloatsPerToken, type ModelSpec } from './spec.js';

/** Bytes that a rank will hold. */
export interface Footprint {
  /** What every rank holds alike. */
  readonly dense: number;
  /** The experts in its slots. */
  readonly experts: number;
  /** Experts that it may hold besides while some move. */
  readonly moving: number;
  readonly cache: number;
  /** Hidden states and what is computed from them, of the largest step; logits of all its tokens, at most 256 MiB, since few steps want them. */
  readonly activations: number;
  /** What experts compute from, of a step in which all ranks send all they have here; at most 256 MiB, since that is rare. */
  readonly received: number;
}

export interface FootprintOptions {
  readonly spec: ModelSpec;
  readonly checkpoint: Checkpoint;
  readonly placement: Placement;
  readonly rank: Rank;
  readonly residence: Residence;
  readonly blockSize: number;
  readonly numKvBlocks: number;
  readonly maxNumBatchedTokens: number;
  /** Experts that may come beside those of the placement. */
  readonly numMovingExperts: number;
}

export function footprintOf(options: FootprintOptions): Footprint {
  const { spec, checkpoint, placement, rank, residence, maxNumBatchedTokens, numMovingExperts } = options;
  const all = tensorsOfRank(spec, checkpoint, placement, rank);
  const sum = (list: readonly string[]): number =>
    list.reduce((total, name) => total + bytesOf(checkpoint.info(name), residence), 0);
  const { hiddenSize: hidden, moe, vocabSize, attention } = spec;
  const { intermediateSize: intermediate } = moe;
  const { experts: dtype } = residence;
  const expert =
    matrixBytes(residence, dtype, 2 * intermediate, hidden) + matrixBytes(residence, dtype, hidden, intermediate);
  const widest = Math.max(
    ...spec.layers.map((layer) => (layer.kind === 'dense' ? layer.intermediateSize : 0)),
    moe.gate.numTopk * intermediate,
  );
  const headWidth = attention.kind === 'mla' ? attention.kvLoraRank + attention.qkRopeHeadDim : attention.headDim;
  return {
    dense: sum(all.filter((name) => !isExpertTensor(name))),
    experts: sum(all.filter(isExpertTensor)),
    moving: numMovingExperts * expert,
    cache: 4 * floatsPerToken(spec, residence) * options.blockSize * options.numKvBlocks,
    received: Math.min(MAX_RARE_BYTES, receivedBytes(options)),
    activations:
      4 * maxNumBatchedTokens * (8 * hidden + 3 * widest + 3 * attention.numHeads * headWidth) +
      Math.min(MAX_RARE_BYTES, 4 * maxNumBatchedTokens * vocabSize),
  };
}

const floatsPerToken = (spec: ModelSpec, { compute }: Residence): number =>
  compute === 'tensors' ? kvFloatsPerToken(spec) : cacheFloatsPerToken(spec.attention) * spec.layers.length;

/** What steps need that come rarely is counted up to here. */
const MAX_RARE_BYTES = 2 ** 28;

/** Rows, an output for each of their choices, and sums of those. */
function receivedBytes({ spec, placement, maxNumBatchedTokens }: FootprintOptions): number {
  const numRows = placement.numRanks * maxNumBatchedTokens;
  const numChoices = Math.min(spec.moe.gate.numTopk, placement.slotsPerRank);
  return 4 * numRows * (2 + numChoices) * spec.hiddenSize;
}

function bytesOf(info: TensorInfo, residence: Residence): number {
  const [rows, columns] = info.shape;
  if (columns === undefined) return 4 * (rows ?? 1); // some checkpoints store scales as scalars, of shape []
  const dtype = isExpertTensor(info.name) ? residence.experts : denseDtype(info, residence.dense);
  return matrixBytes(residence, dtype, rows!, columns);
}

/** Tensors are float32 whatever the weights were rounded to. */
const matrixBytes = ({ compute }: Residence, dtype: WeightDtype, rows: number, columns: number): number =>
  compute === 'tensors' ? 4 * rows * columns : residentBytes(dtype, rows, columns);

export interface MemoryLimits {
  readonly backend: BackendName;
  readonly rank: Rank;
  readonly numRanks: number;
  /** That this machine can still give. */
  readonly availableBytes: number;
  /** Of this machine. */
  readonly totalBytes: number;
  /** Ranks that share it. */
  readonly ranksHere: number;
  /** Of one memory of the kernels, which dense weights and KV cache share. */
  readonly memoryBytes: number;
}

/**
 * Refuses what doesn't fit before it is loaded.
 * @throws ExpertError OUT_OF_MEMORY with the numbers, the ranks that it needs and what would fit
 */
export function checkFootprint(footprint: Footprint, residence: Residence, limits: MemoryLimits): void {
  const { dense, experts, moving, cache, activations, received } = footprint;
  const { backend, rank, numRanks, availableBytes, totalBytes, ranksHere, memoryBytes } = limits;
  const isTensors = residence.compute === 'tensors';
  const weights = dense + experts + moving;
  const refuse = (what: string, advice: readonly string[]): never => {
    throw new ExpertError('OUT_OF_MEMORY', `rank ${rank} would hold ${what}; ${advice.join(', or ')}`);
  };
  const parts = `dense ${gib(dense)}, experts ${gib(experts + moving)}`;
  if (isTensors && backend === 'wasm' && weights > WASM_MAX_WEIGHT_BYTES) {
    const what = `${gib(weights)} of float32 weights (${parts}), and TensorFlow.js's wasm backend holds ${gib(WASM_MAX_WEIGHT_BYTES)}`;
    refuse(what, ['use compute: kernels', ...moreRanks(weights - dense, WASM_MAX_WEIGHT_BYTES - dense, numRanks)]);
  }
  const first = dense + cache + activations + received;
  if (!isTensors && first > memoryBytes) {
    const what = `${gib(first)} that can't be divided (dense ${gib(dense)}, KV cache ${gib(cache)}, activations ${gib(activations + received)}), and a kernel memory holds ${gib(memoryBytes)}`;
    refuse(what, dividing(footprint, residence, memoryBytes));
  }
  const total = weights + cache + activations + received;
  if (ranksHere > 1 && total <= availableBytes && ranksHere * total > totalBytes) {
    const what = `${gib(total)} (${parts}, KV cache ${gib(cache)}), and ${ranksHere} such ranks share a machine with ${gib(totalBytes)}`;
    refuse(what, [
      ...(isTensors ? [] : smallerDtypes(footprint, residence, totalBytes / ranksHere)),
      'use several machines',
    ]);
  }
  if (total <= availableBytes) return;
  const what = `${gib(total)} (${parts}, KV cache ${gib(cache)}), and this machine has ${gib(availableBytes)} left`;
  const smaller = isTensors ? [] : smallerDtypes(footprint, residence, availableBytes);
  refuse(what, [...smaller, ...moreRanks(experts + moving, availableBytes - (total - experts - moving), numRanks)]);
}

/** What makes dense weights, cache and activations fit one memory. */
function dividing(
  { dense, cache, activations, received }: Footprint,
  residence: Residence,
  memoryBytes: number,
): string[] {
  const work = activations + received;
  const [limit, rest] = cache < work ? ['max_num_batched_tokens', dense + cache] : ['num_kv_blocks', dense + work];
  const advice = rest < memoryBytes ? [`lower engine.${limit}`] : [];
  const size = VALUE_BYTES[residence.dense === 'auto' ? 'bf16' : residence.dense];
  const fitting = (['bf16', 'int8'] as const).find(
    (dtype) => VALUE_BYTES[dtype] < size && (dense * VALUE_BYTES[dtype]) / size + cache + work <= memoryBytes,
  );
  if (fitting !== undefined) advice.push(`set dense.resident to ${fitting}`);
  return advice.length > 0 ? advice : ['use compute: tensors with backend: tensorflow'];
}

/** How many ranks of machines like this one would do. */
function moreRanks(divisible: number, room: number, numRanks: number): string[] {
  if (room <= 0) return ['take a machine with more memory'];
  return [
    `spread the experts over ${Math.max(numRanks + 1, Math.ceil((divisible * numRanks) / room))} ranks on as many machines`,
  ];
}

function smallerDtypes(
  { dense, experts, moving, cache, activations, received }: Footprint,
  residence: Residence,
  available: number,
): string[] {
  const fitting = (['bf16', 'int8'] as const).filter((dtype) => {
    const share = VALUE_BYTES[dtype] / VALUE_BYTES[residence.experts];
    return share < 1 && dense + (experts + moving) * share + cache + activations + received <= available;
  });
  return fitting.slice(0, 1).map((dtype) => `set experts.resident to ${dtype}, which fits`);
}

/** Of a resident value, about. */
const VALUE_BYTES: Readonly<Record<WeightDtype, number>> = { f32: 4, bf16: 2, int8: 1.125 };

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(2)} GiB`;
