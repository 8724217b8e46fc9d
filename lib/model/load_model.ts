/** One rank's model from a checkpoint: dense weights whole, and of the routed experts only those that the placement gives this rank. */
import type { AllToAll } from '../../comm/all_to_all.js';
import { asLayer, asLogical, type Rank } from '../../comm/ids.js';
import { ExpertError } from '../../experts/errors.js';
import type { LoadMonitor } from '../../experts/load_monitor.js';
import { MoeLayer } from '../../experts/moe_layer.js';
import type { Placement } from '../../experts/placement.js';
import type { ReplicaChooser } from '../../experts/replica_choice.js';
import { createExpertShard, type ExpertShard } from '../../experts/shard.js';
import type { Stopwatch } from '../../experts/stopwatch.js';
import { TensorExperts } from '../../experts/tensor_experts.js';
import { WASM_MAX_WEIGHT_BYTES, type BackendName } from '../../experts/tf.js';
import type { WeightDtype } from '../../experts/weight_matrix.js';
import type { Checkpoint } from '../weights/checkpoint.js';
import type { Fingerprint } from '../weights/fingerprint.js';
import { moeLayersOf, type MlaForm, type ModelSpec } from './spec.js';
import * as names from './tensor_names.js';
import { loadTensorDecoder } from './tensors/load_tensors.js';
import { Transformer } from './transformer.js';
import { CheckpointExperts, DenseReader } from './weight_reader.js';

/** What a decoder's form and size depend on. */
export interface DecoderOptions {
  readonly spec: ModelSpec;
  readonly mla: MlaForm;
  /** Tokens per KV block. */
  readonly blockSize: number;
}

export interface LoadOptions extends DecoderOptions {
  readonly checkpoint: Checkpoint;
  readonly fingerprint: Fingerprint;
  readonly rank: Rank;
  readonly placement: Placement;
  /** Default 1. */
  readonly microBatches?: number;
  readonly clock: Stopwatch;
  /** Counts choices per logical expert. */
  readonly load: LoadMonitor;
  /** Counts choices per rank that computes them. */
  readonly rankLoad: LoadMonitor;
  /** Ends the loading. */
  readonly signal?: AbortSignal;
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

export async function loadModel(options: LoadOptions): Promise<LoadedModel> {
  const { spec, checkpoint, fingerprint, microBatches, clock, load, rankLoad, signal } = options;
  const reader = new DenseReader(checkpoint, { fingerprint, signal });
  const shard = await loadExperts(options);
  const decoder = await loadTensorDecoder(reader, options);
  const { gate } = spec.moe;
  const moeNumbers = moeLayersOf(spec);
  const shared = {
    hidden: spec.hiddenSize,
    gateSpec: gate,
    shard,
    load,
    rankLoad,
    clock,
    microBatches: microBatches ?? 1,
  };
  return (exchange) => {
    const moeLayers = spec.layers.map(({ kind }, layer) =>
      kind === 'dense' ? null : new MoeLayer({ ...shared, ...exchange, layer, moeLayer: moeNumbers.indexOf(layer) }),
    );
    return new Transformer({ spec, decoder, moeLayers, shard, clock });
  };
}

async function loadExperts({ spec, checkpoint, placement, rank, signal }: LoadOptions): Promise<ExpertShard> {
  const { hiddenSize: hidden, moe } = spec;
  const dtype = residentDtypeOf(checkpoint);
  const shard = createExpertShard(new TensorExperts({ hidden, numTopk: moe.gate.numTopk, dtype }));
  const source = new CheckpointExperts(checkpoint, hidden, moe.intermediateSize, signal);
  for (const [moeLayer, layer] of moeLayersOf(spec).entries()) {
    for (const [slot, logical] of slotsOf(placement, moeLayer, rank).entries()) {
      if (logical >= 0) shard.add(layer, slot, await source.expert(asLayer(layer), asLogical(logical)));
    }
  }
  return shard;
}

/** What routed experts are kept and travel as: as they are stored, if that is the same for all. */
export function residentDtypeOf(checkpoint: Checkpoint): WeightDtype {
  const experts = checkpoint.names().filter((name) => EXPERT_OF.test(name));
  return experts.every((name) => checkpoint.info(name).dtype === 'BF16') ? 'bf16' : 'f32';
}

/** Logical experts in a rank's slots, −1 = empty. */
const slotsOf = ({ phy2log, slotsPerRank }: Placement, moeLayer: number, rank: number): Int32Array =>
  phy2log[moeLayer]!.subarray(rank * slotsPerRank, (rank + 1) * slotsPerRank);

/** Names of all tensors that a rank reads and holds, an expert's once per slot: what the progress bar counts. */
export function tensorsOfRank(spec: ModelSpec, checkpoint: Checkpoint, placement: Placement, rank: Rank): string[] {
  const numSlots = new Map<string, number>();
  for (const [moeLayer, layer] of moeLayersOf(spec).entries()) {
    for (const logical of slotsOf(placement, moeLayer, rank)) {
      const prefix = names.expertPrefix(layer, logical);
      numSlots.set(prefix, (numSlots.get(prefix) ?? 0) + 1);
    }
  }
  return checkpoint.names().flatMap((name) => {
    if (name.endsWith('.rotary_emb.inv_freq')) return []; // old checkpoints store what rope.ts computes
    const layer = LAYER_OF.exec(name);
    if (layer !== null && Number(layer[1]) >= spec.layers.length) return []; // multi-token prediction, not run
    if (name === names.LM_HEAD && spec.tieWordEmbeddings) return [];
    const expert = EXPERT_OF.exec(name);
    return new Array<string>(expert === null ? 1 : (numSlots.get(expert[1]!) ?? 0)).fill(name);
  });
}

const LAYER_OF = /^model\.layers\.(\d+)\./;
const EXPERT_OF = /^(model\.layers\.\d+\.mlp\.experts\.\d+)\./;

/**
 * Refuses weights that the backend would corrupt.
 * @throws ExpertError OUT_OF_MEMORY with both numbers.
 */
export function checkMemory(backend: BackendName, numWeights: number, rank: Rank): void {
  const bytes = 4 * numWeights;
  if (backend !== 'wasm' || bytes <= WASM_MAX_WEIGHT_BYTES) return;
  const gib = (n: number): string => (n / 2 ** 30).toFixed(2);
  throw new ExpertError(
    'OUT_OF_MEMORY',
    `rank ${rank} would hold ${gib(bytes)} GiB of float32 weights, and the wasm backend holds ` +
      `${gib(WASM_MAX_WEIGHT_BYTES)} GiB; use more ranks or another backend`,
  );
}
