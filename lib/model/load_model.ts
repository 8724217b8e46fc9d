/** One rank's model from a checkpoint: dense weights whole, and of the routed experts only those that the placement gives this rank. */
import type { AllToAll } from '../../comm/all_to_all/all_to_all.js';
import type { Rank } from '../../base/ids.js';
import type { LoadMonitor } from '../../experts/load/load_monitor.js';
import type { GateChoice } from '../../experts/routing/custom_gate.js';
import { MoeLayer } from '../../experts/layer/moe_layer.js';
import { slotsOf, type Placement } from '../../experts/placement/placement.js';
import type { ReplicaChooser } from '../../experts/placement/replica_choice.js';
import type { Expert, ExpertCompute } from '../../compute/base/expert_compute.js';
import { ResidentExperts } from '../../compute/wasm/experts/resident_experts.js';
import { KernelMemories, type ReservedBytes } from '../../compute/wasm/memory/kernel_memories.js';
import type { KernelSettings } from '../../compute/wasm/memory/kernel_settings.js';
import { allSettled, WeightLoader } from '../../compute/wasm/memory/weight_loader.js';
import type { Crew } from '../../compute/wasm/threads/crew.js';
import type { WarmWish } from '../../experts/tiers/tier_plan.js';
import type { TierPolicy } from '../../experts/tiers/tier_policy.js';
import { TieredExperts } from '../../experts/tiers/tiered_experts.js';
import { createExpertShard, type ExpertShard } from '../../experts/layer/shard.js';
import type { Stopwatch } from '../../compute/base/stopwatch.js';
import { TensorExperts } from '../../compute/tfjs/experts/tensor_experts.js';
import type { Decoder, DecoderOptions } from './decoder/decoder.js';
import { loadKernelDecoder } from './kernels/load_kernels.js';
import { heldTopkOf, numSlicesOf } from './spec/slices.js';
import { expertSizesOf, gateOf, moeLayersOf } from './spec/spec.js';
import type { ModelWeights } from './stored/model_weights.js';
import { loadTensorDecoder } from './tensors/load_tensors.js';
import { Transformer } from './transformer.js';
import { expertDtypeIn, heldDtypeIn } from './weights/residence.js';
import { heldExperts } from './weights/sliced_experts.js';
import { planTiers } from './weights/tiers.js';
import { unspread, type Spread } from './weights/spread.js';
import { DenseReader } from './weights/weight_reader.js';

/** What to load for one rank, and who is told of it. */
export interface LoadOptions extends DecoderOptions {
  readonly weights: ModelWeights;
  readonly rank: Rank;
  readonly placement: Placement;
  /** Chooses experts instead of the model's own gate, as many as `spec` says. Default null: nobody does. */
  readonly gate?: GateChoice | null;
  /** Default 1. */
  readonly microBatches?: number;
  readonly clock: Stopwatch;
  /** Counts choices per logical expert. */
  readonly load: LoadMonitor;
  /** Counts choices per rank that computes them. */
  readonly rankLoad: LoadMonitor;
  /** How the kernels compute. Default: {@link PLAIN_KERNELS}. */
  readonly kernels?: KernelSettings;
  /** Of the dense part, over the kernels' memories. Default null: it lies in one. */
  readonly spread?: Spread | null;
  /** Threads that compute with the kernels; their owner ends them. Default: none beside the calling one. */
  readonly crew?: Crew | null;
  /** Where not all experts are resident. Default null: all are. With the kernels alone. */
  readonly tiers?: TierChoice | null;
  /** Of the kernels' memories, where no expert may go, besides what the spread reserves. Default nothing. */
  readonly reserved?: Omit<ReservedBytes, 'denseBytes'>;
  /** Ends the loading. */
  readonly signal?: AbortSignal;
}

/** How experts are kept that are not all resident. */
export interface TierChoice {
  /** That they may take. */
  readonly maxBytes: number;
  /** Copies of those that aren't resident. Default: there are none. */
  readonly warm?: WarmWish | null;
  /** Which goes where not all fit. */
  readonly policy: TierPolicy;
}

/** What a model's layers reach other ranks through. */
export interface Exchange {
  readonly ep: AllToAll;
  readonly replicas: ReplicaChooser;
}

/**
 * A loaded model still lacks its way to the other ranks: the mesh opens only when every rank has proved, by the fingerprint of what it
 * loaded, that it serves the same checkpoint.
 */
export type LoadedModel = (exchange: Exchange) => Transformer;

/**
 * Reads the weights, dense ones first.
 * @throws WeightError as the checkpoint; ModelError INVALID_MODEL_CONFIG; ExpertError OUT_OF_MEMORY, NOT_FINITE; the signal's reason
 */
export async function loadModel(options: LoadOptions): Promise<LoadedModel> {
  const loader = new WeightLoader();
  try {
    return modelOf(options, await loadParts(options, loader));
  } finally {
    loader.close();
  }
}

function modelOf(
  { spec, gate: choice = null, microBatches, clock, load, rankLoad }: LoadOptions,
  { decoder, shard, memories, tiers }: ModelParts,
): LoadedModel {
  const { gate } = spec.moe;
  const moeNumbers = moeLayersOf(spec);
  const shared = {
    hidden: spec.hiddenSize,
    gate: choice,
    slices: numSlicesOf(spec),
    shard,
    load,
    rankLoad,
    clock,
    microBatches: microBatches ?? 1,
  };
  // Nothing comes behind the last one.
  const numDeferredAt = (layer: number): { readonly numDeferred: number } => ({
    numDeferred: layer === moeNumbers.at(-1) ? 0 : (gate.numDeferred ?? 0),
  });
  return (exchange) => {
    const moeLayers = spec.layers.map(({ kind }, layer) =>
      kind === 'dense'
        ? null
        : new MoeLayer({
            ...shared,
            ...exchange,
            ...numDeferredAt(layer),
            gateSpec: gateOf(spec, layer),
            layer,
            moeLayer: moeNumbers.indexOf(layer),
          }),
    );
    const parts = { spec, decoder, moeLayers, shard, clock, memories, tiers };
    return new Transformer({ ...parts, hasCustomGate: choice !== null });
  };
}

interface ModelParts {
  readonly decoder: Decoder;
  readonly shard: ExpertShard;
  readonly memories: KernelMemories | null;
  readonly tiers: TieredExperts | null;
}

/** The dense part, of which a layer can't be divided, before experts take the memory that is left. */
async function loadParts(options: LoadOptions, loader: WeightLoader): Promise<ModelParts> {
  const { spec, residence, weights, signal } = options;
  const { hiddenSize: hidden, moe } = spec;
  const reader = new DenseReader(weights, { signal, residence });
  const dtypeOf = heldDtypeIn(spec, residence.experts);
  const source = heldExperts(weights, spec, { signal, as: expertDtypeIn(spec, residence.experts) });
  const shape = { hidden, numTopk: heldTopkOf(spec), activation: moe.activation };
  switch (residence.compute) {
    case 'tensors': {
      const decoder = await loadTensorDecoder(reader, withOwnGate(options));
      const experts = new TensorExperts(shape);
      const load = async (layer: number, logical: number): Promise<Expert> =>
        experts.load(await source.expert(layer, logical), dtypeOf(layer, logical));
      const shard = await loadShard(options, experts, (layer, all) => inTurn(all, (logical) => load(layer, logical)));
      return { decoder, shard, memories: null, tiers: null };
    }
    case 'kernels': {
      const spread = options.spread ?? unspread(spec);
      const reserved = { ...options.reserved, denseBytes: spread.reservedBytes };
      const memories = new KernelMemories(reserved, options.kernels, options.crew);
      const decoder = await loadKernelDecoder(reader, withOwnGate(options), memories.dense, loader, spread);
      if (options.tiers != null) {
        const tiers = tieredExperts(options, memories, options.tiers);
        const open = (layer: number, expert: number): Expert => tiers.open({ layer, expert }, dtypeOf(layer, expert));
        const shard = await loadShard(options, tiers, (layer, all) =>
          Promise.resolve(all.map((logical) => open(layer, logical))),
        );
        return { decoder, shard, memories, tiers };
      }
      const experts = new ResidentExperts(memories, shape);
      const shard = await loadShard(options, experts, (layer, all) => {
        const stored = all.map((logical) => source.stored(layer, logical)); // what isn't there is told before anything is read
        return allSettled(stored.map((expert, i) => experts.read(loader, expert, dtypeOf(layer, all[i]!))));
      });
      return { decoder, shard, memories, tiers: null };
    }
  }
}

/** Nothing is read before it is wanted. A read isn't ended with the loading: it is for as long as the rank lives. */
function tieredExperts(
  { spec, residence, placement, weights }: LoadOptions,
  memories: KernelMemories,
  { maxBytes, policy, warm: wish = null }: TierChoice,
): TieredExperts {
  const source = heldExperts(weights, spec, { as: expertDtypeIn(spec, residence.experts) });
  const { slots, warm } = planTiers({ spec, residence, placement, maxResidentBytes: maxBytes, warm: wish });
  const layers = moeLayersOf(spec).map((layer, moeLayer) => ({
    layer,
    numExperts: placement.log2phy[moeLayer]!.length,
  }));
  const { activation } = spec.moe;
  const sizes = expertSizesOf(spec);
  return new TieredExperts(memories, {
    ...{ sizes, numTopk: heldTopkOf(spec), activation, layers, maxBytes, slots, warm, policy, source },
  });
}

/** The model's own gate makes its own number of choices, also where another one chooses. */
const withOwnGate = ({ spec, gate = null, ...options }: LoadOptions): LoadOptions =>
  gate === null ? { spec, ...options } : { ...options, spec: { ...spec, moe: { ...spec.moe, gate: gate.spec } } };

/** `read`: some experts of a layer. */
async function loadShard(
  { spec, placement, rank, residence }: LoadOptions,
  compute: ExpertCompute,
  read: (layer: number, logicals: readonly number[]) => Promise<Expert[]>,
): Promise<ExpertShard> {
  const shard = createExpertShard(compute, residence.experts);
  for (const [moeLayer, layer] of moeLayersOf(spec).entries()) {
    const slots = [...slotsOf(placement, moeLayer, rank).entries()].filter(([, logical]) => logical >= 0);
    const logicals = slots.map(([, logical]) => logical);
    const experts = await read(layer, logicals);
    shard.replace(layer, new Map(experts.map((expert, i) => [slots[i]![0], expert])));
  }
  return shard;
}

/** One after the other, since each takes memory on its way. */
async function inTurn<T>(numbers: readonly number[], work: (number: number) => Promise<T>): Promise<T[]> {
  const done: T[] = [];
  for (const number of numbers) done.push(await work(number));
  return done;
}
