/** One rank's model from a checkpoint: dense weights whole, and of the routed experts only those that the placement gives this rank. */
import type { AllToAll } from '../../comm/all_to_all.js';
import { asLayer, asLogical, type Rank } from '../../comm/ids.js';
import { ExpertError } from '../../experts/errors.js';
import { Ffn } from '../../experts/ffn.js';
import { Gate } from '../../experts/gate.js';
import type { LoadMonitor } from '../../experts/load_monitor.js';
import { MoeLayer } from '../../experts/moe_layer.js';
import type { Placement } from '../../experts/placement.js';
import type { ReplicaChooser } from '../../experts/replica_choice.js';
import { createExpertShard, type ExpertShard } from '../../experts/shard.js';
import type { Stopwatch } from '../../experts/stopwatch.js';
import { toTensor, WASM_MAX_WEIGHT_BYTES, type BackendName } from '../../experts/tf.js';
import type { Checkpoint } from '../weights/checkpoint.js';
import type { Fingerprint } from '../weights/fingerprint.js';
import { loadAttention, loadMatrix } from './load_attention.js';
import type { MlaForm } from './mla.js';
import { RmsNorm } from './norm.js';
import { Rope } from './rope.js';
import { moeLayersOf, type ModelSpec } from './spec.js';
import * as names from './tensor_names.js';
import { Transformer, type DecoderLayer } from './transformer.js';
import { CheckpointExperts, DenseReader, transposed } from './weight_reader.js';

export interface LoadOptions {
  readonly spec: ModelSpec;
  readonly checkpoint: Checkpoint;
  readonly fingerprint: Fingerprint;
  readonly rank: Rank;
  readonly placement: Placement;
  readonly mla: MlaForm;
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
  const { spec, checkpoint, fingerprint, clock, signal } = options;
  const reader = new DenseReader(checkpoint, { fingerprint, signal });
  const { hiddenSize, vocabSize, normEps } = spec;
  const embedding = await reader.read(names.EMBEDDING, [vocabSize, hiddenSize]);
  const head = spec.tieWordEmbeddings
    ? transposed(embedding, vocabSize, hiddenSize)
    : await reader.readTransposed(names.LM_HEAD, [vocabSize, hiddenSize]);
  const head_HV = toTensor(head, [hiddenSize, vocabSize]);
  const finalNorm = new RmsNorm(await reader.read(names.FINAL_NORM, [hiddenSize]), normEps);
  const rope = new Rope(spec.rope);
  const layers: ((exchange: Exchange) => DecoderLayer)[] = [];
  const shard = await loadExperts(options);
  for (let i = 0; i < spec.layers.length; i++) layers.push(await loadLayer(reader, options, i, rope, shard));
  const embedding_VH = toTensor(embedding, [vocabSize, hiddenSize]);
  return (exchange) =>
    new Transformer({
      ...{ spec, embedding_VH, finalNorm, head_HV, rope, shard, clock },
      layers: layers.map((layer) => layer(exchange)),
    });
}

async function loadLayer(
  reader: DenseReader,
  { spec, mla, microBatches, clock, load, rankLoad }: LoadOptions,
  layer: number,
  rope: Rope,
  shard: ExpertShard,
): Promise<(exchange: Exchange) => DecoderLayer> {
  const { hiddenSize: hidden, normEps } = spec;
  const attentionNorm = new RmsNorm(await reader.read(names.attentionNormName(layer), [hidden]), normEps);
  const attention = await loadAttention(reader, spec, layer, rope, mla);
  const mlpNorm = new RmsNorm(await reader.read(names.mlpNormName(layer), [hidden]), normEps);
  const kind = spec.layers[layer]!;
  if (kind.kind === 'dense') {
    const ffn = new Ffn(await reader.ffn(names.denseFfnPrefix(layer), hidden, kind.intermediateSize));
    return () => ({ attentionNorm, attention, mlpNorm, mlp: { kind: 'dense', ffn } });
  }
  const gate = await loadGate(reader, spec, layer);
  const sharedExperts = await loadSharedExperts(reader, spec, layer);
  const moeLayer = moeLayersOf(spec).indexOf(layer);
  return (exchange) => {
    const moe = new MoeLayer({
      ...{ layer, moeLayer, hidden, gate, sharedExperts, shard, ...exchange, load, rankLoad, clock },
      microBatches: microBatches ?? 1,
    });
    return { attentionNorm, attention, mlpNorm, mlp: { kind: 'moe', moe } };
  };
}

async function loadGate(reader: DenseReader, { moe, hiddenSize }: ModelSpec, layer: number): Promise<Gate> {
  const { numExperts } = moe.gate;
  const bias = moe.hasSelectionBias ? await reader.read(names.gateBiasName(layer), [numExperts]) : null;
  return new Gate(await loadMatrix(reader, names.gateName(layer), numExperts, hiddenSize), bias, moe.gate);
}

async function loadSharedExperts(reader: DenseReader, spec: ModelSpec, layer: number): Promise<Ffn | null> {
  const { sharedIntermediateSize } = spec.moe;
  if (sharedIntermediateSize === 0) return null;
  return new Ffn(await reader.ffn(names.sharedExpertsPrefix(layer), spec.hiddenSize, sharedIntermediateSize));
}

async function loadExperts({ spec, checkpoint, placement, rank, signal }: LoadOptions): Promise<ExpertShard> {
  const { hiddenSize: hidden, moe } = spec;
  const shard = createExpertShard({ hidden, numTopk: moe.gate.numTopk });
  const source = new CheckpointExperts(checkpoint, hidden, moe.intermediateSize, signal);
  for (const [moeLayer, layer] of moeLayersOf(spec).entries()) {
    for (const [slot, logical] of slotsOf(placement, moeLayer, rank).entries()) {
      if (logical >= 0) shard.add(layer, slot, await source.expert(asLayer(layer), asLogical(logical)));
    }
  }
  return shard;
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
