/** One rank's model from a checkpoint: dense weights whole, and of the routed experts only those that the placement gives this rank. */
import type { AllToAll } from '../../comm/all_to_all.js';
import { asLayer, asLogical, type Rank } from '../../comm/ids.js';
import { ExpertError } from '../../experts/errors.js';
import { Ffn } from '../../experts/ffn.js';
import { Gate } from '../../experts/gate.js';
import type { LoadMonitor } from '../../experts/load_monitor.js';
import { MoeLayer } from '../../experts/moe_layer.js';
import type { Placement } from '../../experts/placement.js';
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
  readonly load: LoadMonitor;
  /** Ends the loading. */
  readonly signal?: AbortSignal;
}

/**
 * A loaded model still lacks its way to the other ranks: the mesh opens only when every rank has proved, by the fingerprint of what it
 * loaded, that it serves the same checkpoint.
 */
export type LoadedModel = (ep: AllToAll) => Transformer;

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
  const layers: ((ep: AllToAll) => DecoderLayer)[] = [];
  const shard = await loadExperts(options);
  for (let i = 0; i < spec.layers.length; i++) layers.push(await loadLayer(reader, options, i, rope, shard));
  const embedding_VH = toTensor(embedding, [vocabSize, hiddenSize]);
  return (ep) =>
    new Transformer({ spec, embedding_VH, layers: layers.map((l) => l(ep)), finalNorm, head_HV, rope, shard, clock });
}

async function loadLayer(
  reader: DenseReader,
  { spec, mla, microBatches, clock, load }: LoadOptions,
  layer: number,
  rope: Rope,
  shard: ExpertShard,
): Promise<(ep: AllToAll) => DecoderLayer> {
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
  return (ep) => {
    const moe = new MoeLayer({
      ...{ layer, moeLayer, hidden, gate, sharedExperts, shard, ep, load, clock },
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

/** Names of all tensors that a rank reads: what the progress bar counts. */
export function tensorsOfRank(spec: ModelSpec, checkpoint: Checkpoint, placement: Placement, rank: Rank): string[] {
  const own = new Set<string>();
  for (const [moeLayer, layer] of moeLayersOf(spec).entries()) {
    for (const logical of slotsOf(placement, moeLayer, rank)) own.add(names.expertPrefix(layer, logical));
  }
  return checkpoint.names().filter((name) => {
    if (name.endsWith('.rotary_emb.inv_freq')) return false; // old checkpoints store what rope.ts computes
    const layer = LAYER_OF.exec(name);
    if (layer !== null && Number(layer[1]) >= spec.layers.length) return false; // multi-token prediction, not run
    if (name === names.LM_HEAD && spec.tieWordEmbeddings) return false;
    const expert = EXPERT_OF.exec(name);
    return expert === null || own.has(expert[1]!);
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
