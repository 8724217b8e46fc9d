/** How many bytes ranks would hold, for several numbers of them and each form of weights. Pure. */
import { ExpertError } from '../../../compute/base/errors.js';
import type { KvDtype } from '../../../compute/base/kv_dtype.js';
import { asRank } from '../../../base/ids.js';
import { MEMORY_ROOM_BYTES } from '../../../compute/wasm/memory/kernel_memories.js';
import { createPlacement, type Placement } from '../../../experts/placement/placement.js';
import type { WarmWish } from '../../../experts/tiers/tier_plan.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { slicedSpec } from '../../head/slice_choice.js';
import { heldCountsOf, numHeldOf } from '../../model/spec/slices.js';
import { moeLayersOf, type ModelSpec } from '../../model/spec/spec.js';
import type { KnownWeights } from '../../model/stored/model_weights.js';
import { footprintAt, type Footprint, type FootprintOptions } from '../../model/weights/footprint.js';
import { checkMemory, type Alternatives } from '../../model/weights/memory_check.js';
import { residenceOf, type Residence, type ResidenceChoice } from '../../model/weights/residence.js';
import { typeBytes, type TypeBytes } from '../../model/weights/type_bytes.js';
import { numStatesOf, type EngineLimits } from '../../protocol/limits.js';

/** What the size of ranks depends on beside their number. */
export interface RankBytesOptions {
  readonly spec: ModelSpec;
  readonly weights: KnownWeights;
  readonly limits: EngineLimits;
  /** What the kernels keep keys and values as. */
  readonly kvDtype: KvDtype;
  /** Of a tier in memory. */
  readonly tierBytes: number;
  /** Of all experts, per layer. */
  readonly numRedundantExperts: number;
  readonly numMovingLayers: number;
  /** Of a rank's experts, that are in memory; null: all. */
  readonly maxResidentBytes: number | null;
  /** Copies of the others; null: there are none. */
  readonly warm: WarmWish | null;
  /** What the configuration wants. */
  readonly wish: ResidenceChoice;
  /** As the configuration says. */
  readonly slices: ExpertwireConfig['experts']['slices'];
  /** Of this machine, which `fits` is about. */
  readonly numCores: number;
  readonly machineBytes: number;
}

/** A form of weights, and what it takes. */
export interface RankBytesRow {
  /** 'as configured', 'as stored', 'int8', … */
  readonly name: string;
  readonly residence: Residence;
  /** Of the whole model, every expert once. */
  readonly types: TypeBytes;
  readonly ranks: readonly RankBytes[];
}

/** Of the rank that holds most. */
export interface RankBytes {
  readonly numRanks: number;
  /** Null: a job can't have so many ranks. */
  readonly footprint: Footprint | null;
  /** Whether this machine can run so many such ranks. */
  readonly fitsHere: boolean;
}

/** Experts and all other weights alike. */
const FORMS: readonly (readonly [name: string, choice: ResidenceChoice])[] = [
  ['as stored', { compute: 'kernels', experts: 'auto', dense: 'auto' }],
  ['f32', { compute: 'kernels', experts: 'f32', dense: 'f32' }],
  ['bf16', { compute: 'kernels', experts: 'bf16', dense: 'bf16' }],
  ['int8', { compute: 'kernels', experts: 'int8', dense: 'int8' }],
  ['int4', { compute: 'kernels', experts: 'int4', dense: 'int4' }],
  ['tensors', { compute: 'tensors', experts: 'f32', dense: 'f32' }],
];

/** One row for each form; first what the configuration wants, where that isn't what is stored. */
export function rankBytes(options: RankBytesOptions, numbers: readonly number[]): RankBytesRow[] {
  const { wish } = options;
  const isPlain = wish.experts === 'auto' && wish.dense === 'auto' && (wish.overrides ?? []).length === 0;
  const own = isPlain ? [] : [['as configured', wish] as const];
  return [...own, ...FORMS].map(([name, choice]) => {
    const backend = choice.compute === 'tensors' ? 'tensorflow' : 'wasm';
    const kv = choice.compute === 'tensors' ? 'f32' : options.kvDtype;
    const residence = residenceOf({ ...choice, kv }, backend, options.weights);
    return {
      ...{ name, residence, types: typeBytes(oneRank(options, residence)) },
      ranks: numbers.map((numRanks) => {
        const footprint = footprintFor(options, residence, numRanks);
        return { numRanks, footprint, fitsHere: footprint !== null && fits(options, residence, numRanks, footprint) };
      }),
    };
  });
}

/** Null too where experts of this form are larger than what is to be in memory. */
function footprintFor(options: RankBytesOptions, residence: Residence, numRanks: number): Footprint | null {
  try {
    return footprintAt(footprintOptions(options, residence, numRanks))(numRanks);
  } catch (error) {
    if (error instanceof ExpertError && error.code === 'INVALID_ARGUMENT') return null;
    throw error;
  }
}

/** What one of so many ranks takes of its machine. */
export const totalBytes = ({ tiers = 0, ...footprint }: Footprint): number => {
  const { dense, experts, moving, cache, activations, received } = footprint;
  return dense + experts + moving + cache + tiers + activations + received;
};

function footprintOptions(
  {
    spec: whole,
    slices,
    weights,
    limits,
    tierBytes,
    numRedundantExperts,
    numMovingLayers,
    maxResidentBytes,
    warm,
    numCores,
  }: RankBytesOptions,
  residence: Residence,
  numRanks: number,
): FootprintOptions {
  const spec = slicedSpec({ slices }, whole, numRanks);
  const numExperts = numHeldOf(spec);
  const one = onOneRank(spec);
  // footprintAt asks a placement for its experts and slots alone.
  const slots = new Int32Array(numExperts + numRedundantExperts);
  const placement = { ...one, phy2log: one.phy2log.map(() => slots) };
  const { blockSize, numKvBlocks, maxNumBatchedTokens } = limits;
  return {
    ...{ spec, weights, placement, rank: asRank(0), residence, blockSize, numKvBlocks, maxNumBatchedTokens },
    ...{ numStates: numStatesOf(limits), tierBytes, numMovingLayers, maxResidentBytes, warm },
    numThreads: residence.compute === 'kernels' ? Math.max(1, Math.floor(numCores / numRanks)) : 1,
  };
}

/** Advice is for those who start a job. */
const NO_ALTERNATIVES: Alternatives = { at: () => null, as: () => null };

/** All that is needed to tell types. */
const oneRank = (
  { spec, weights }: RankBytesOptions,
  residence: Residence,
): Pick<FootprintOptions, 'spec' | 'weights' | 'placement' | 'rank' | 'residence'> => ({
  ...{ spec, weights, residence, placement: onOneRank(spec), rank: asRank(0) },
});

const onOneRank = (spec: ModelSpec): Placement =>
  createPlacement('linear', { numLayers: moeLayersOf(spec).length, numExperts: heldCountsOf(spec), numRanks: 1 });

function fits(
  { machineBytes }: RankBytesOptions,
  residence: Residence,
  numRanks: number,
  footprint: Footprint,
): boolean {
  const backend = residence.compute === 'kernels' ? 'wasm' : 'tensorflow';
  const machine = { availableBytes: machineBytes, totalBytes: machineBytes, memoryBytes: MEMORY_ROOM_BYTES, gpu: null };
  try {
    checkMemory(footprint, residence, { backend, rank: 0, numRanks, ranksHere: numRanks, ...machine }, NO_ALTERNATIVES);
    return true;
  } catch (error) {
    if (error instanceof ExpertError && error.code === 'OUT_OF_MEMORY') return false;
    throw error;
  }
}
