/** A small model of seeded weights that goes through all kernels: two ways to compute are alike where its outputs have the same bits. */
import { createHash, type Hash } from 'node:crypto';
import { asRows, type FloatRows } from '../../base/float_rows.js';
import { RowsInPlace } from '../../base/received_rows.js';
import { SWIGLU, type ActivationSpec } from '../../compute/base/activation_spec.js';
import type { ExpertOutput } from '../../compute/base/expert_compute.js';
import { GroupTables } from '../../compute/base/expert_groups.js';
import type { FfnWeights } from '../../compute/base/ffn_weights.js';
import type { KvDtype } from '../../compute/base/kv_dtype.js';
import { storedOf, type StoredMatrix } from '../../compute/base/stored_matrix.js';
import type { Routing } from '../../compute/base/gate_spec.js';
import { numRowsOf } from '../../compute/base/weight_rows.js';
import {
  isCoded,
  matrixOf,
  WEIGHT_DTYPES,
  type WeightDtype,
  type WeightMatrix,
  weightRowBytes,
} from '../../compute/base/weight_matrix.js';
import type { KernelExpert } from '../../compute/wasm/experts/kernel_expert.js';
import { ResidentExperts } from '../../compute/wasm/experts/resident_experts.js';
import { KernelMatrix } from '../../compute/wasm/memory/kernel_matrix.js';
import type { KernelMemory } from '../../compute/wasm/memory/kernel_memory.js';
import { KernelMemories } from '../../compute/wasm/memory/kernel_memories.js';
import type { Activations, KernelSettings } from '../../compute/wasm/memory/kernel_settings.js';
import { WeightLoader } from '../../compute/wasm/memory/weight_loader.js';
import { codec } from '../../comm/codec/codec.js';
import { decodeRows, encodeRows, roundTripRows, WIRE_DTYPES, wireRowBytes } from '../../comm/codec/wire_dtype.js';
import { randomFrom } from '../../experts/routing/random.js';
import type { HiddenStates, SequencePart, StepTokens } from '../model/decoder/decoder.js';
import type { KernelDecoder } from '../model/kernels/kernel_decoder.js';
import { loadKernelDecoder } from '../model/kernels/load_kernels.js';
import { modelSpecOf } from '../model/families/registry.js';
import { randomConfig, type RandomFamily } from '../model/random_config.js';
import type { ModelSpec } from '../model/spec/spec.js';
import * as names from '../model/spec/tensor_names.js';
import { ffnOf, type DenseWeights } from '../model/weights/weight_reader.js';

/** Widths that fill no vector, panel or tile to its end; what differs between dtypes is met by each. */
const SHAPE = { layers: 2, denseLayers: 1, hidden: 72, experts: 6, topk: 2, intermediate: 40, heads: 4, vocab: 157 };
const RUNS: readonly TrialRun[] = [
  { family: 'deepseek_v3', activations: 'f32', kv: 'f32' },
  { family: 'deepseek_v3', activations: 'int16', kv: 'int8' },
  { family: 'qwen3_moe', activations: 'f32', kv: 'f32' },
  { family: 'qwen3_moe', activations: 'int8', kv: 'int8' },
  { family: 'lfm2_moe', activations: 'f32', kv: 'bf16' },
  { family: 'qwen3_next', activations: 'f32', kv: 'f32' },
];

interface TrialRun {
  readonly family: RandomFamily;
  readonly activations: Activations;
  /** What keys and values are kept as. */
  readonly kv: KvDtype;
}

/** All that weights are rounded to; the first two are exact. */
const DTYPES = ['f32', 'bf16', 'int8', 'int4', 'uint4', 'fp8'] as const satisfies readonly WeightDtype[];
/** Of routed experts. */
const ACTIVATIONS: Readonly<Record<(typeof DTYPES)[number], ActivationSpec>> = {
  f32: SWIGLU,
  bf16: { kind: 'clamped_swiglu', limit: 1, alpha: 1.702 },
  int8: SWIGLU,
  int4: SWIGLU,
  uint4: SWIGLU,
  fp8: SWIGLU,
};
const BLOCK_SIZE = 16;

/** Two sequences: a prompt in two chunks of which the first fills tiles of every height, and one that begins beside it; then both decode. */
const STEPS: readonly StepTokens[] = [
  stepOf([part(0, 29, 0, true)]),
  stepOf([part(0, 6, 29, true), part(1, 9, 0, true)]),
  stepOf([part(0, 1, 35, false), part(1, 1, 9, false)]),
];

/** Of all logits, and of rows as they travel: the same for ways that compute the same bits. */
export async function trialDigest(settings: KernelSettings): Promise<string> {
  const hash = createHash('sha256');
  for (const { family, activations, kv } of RUNS) await runModel(family, kv, { ...settings, activations }, hash);
  hashCodecs(hash);
  return hash.digest('hex');
}

async function runModel(family: RandomFamily, kv: KvDtype, settings: KernelSettings, hash: Hash): Promise<void> {
  const spec = modelSpecOf(randomConfig(family, { ...SHAPE, dtype: 'F32' }));
  const weights = new SeededWeights(family.length);
  const memories = new KernelMemories({}, settings);
  const residence = { compute: 'kernels', experts: 'bf16', dense: 'auto', kv } as const;
  const loader = new WeightLoader();
  const shape = { spec, mla: 'auto', blockSize: BLOCK_SIZE, residence } as const;
  const decoder = await loadKernelDecoder(weights, shape, memories.dense, loader);
  // Read into its place, as no matrix of the model is: their widths are odd.
  const even = await loader.matrix(memories.dense[0]!, weights.stored('', [21, 64]), 'f32');
  hash.update(even.readRows(0, even.rows));
  hashCodes(memories.dense[0]!, weights, hash);
  loader.close();
  const experts = TrialExperts.load(weights, spec, memories);
  for (const piece of await experts.rows()) hash.update(piece);
  for (const step of STEPS) {
    const states = await layersOf(decoder, spec, experts, step);
    const rows = await states.logits(Array.from(step.tokenIds.keys()));
    for (const row of rows) hash.update(row.values()).update(JSON.stringify([row.best(1), row.best(5)]));
    states.dispose();
  }
}

async function layersOf(
  decoder: KernelDecoder,
  spec: ModelSpec,
  experts: TrialExperts,
  step: StepTokens,
): Promise<HiddenStates> {
  const states = decoder.begin(step);
  for (const [layer, { kind }] of spec.layers.entries()) {
    await states.attend(layer);
    if (kind === 'dense') {
      await states.feedForward(layer);
      continue;
    }
    const tokens = states.moe(layer);
    const routing = await tokens.route();
    const rows = await tokens.rows();
    await tokens.runShared();
    tokens.add(asRows(await experts.forward(rows, routing), rows.hidden));
  }
  return states;
}

/** The routed experts of the one MoE layer, all on this rank: each is kept as another dtype. */
class TrialExperts {
  private readonly tables = new GroupTables<KernelExpert>();

  private constructor(
    private readonly computes: readonly ResidentExperts[],
    private readonly experts: readonly KernelExpert[],
  ) {}

  static load(weights: SeededWeights, { hiddenSize, moe }: ModelSpec, memories: KernelMemories): TrialExperts {
    const { numTopk, numExperts } = moe.gate;
    const computes = DTYPES.map(
      (dtype) => new ResidentExperts(memories, { hidden: hiddenSize, numTopk, activation: ACTIVATIONS[dtype] }),
    );
    const experts: KernelExpert[] = [];
    for (let e = 0; e < numExperts; e++) {
      const biases = e % 2 === 0 ? undefined : weights.values(2 * moe.intermediateSize + hiddenSize, 1);
      const ffn = { ...weights.ffn(hiddenSize, moe.intermediateSize), biases };
      experts.push(computes[e % computes.length]!.load(ffn, DTYPES[e % DTYPES.length]!));
    }
    return new TrialExperts(computes, experts);
  }

  /** Their weights, as they travel. */
  async rows(): Promise<Uint8Array[]> {
    return (await Promise.all(this.experts.map((expert) => expert.rows(0, numRowsOf(expert.shape))))).flat();
  }

  /** [T, H], which stay until the next call. */
  forward(rows: FloatRows, { topkIdx, topkWeights }: Routing): ExpertOutput | Promise<ExpertOutput> {
    const groups = this.tables.fill(topkIdx, (slot) => this.experts[slot]!);
    return this.computes[0]!.forward(groups, new RowsInPlace(rows, topkIdx, topkWeights, 'rank'));
  }
}

/** Weights that depend on their order alone, as large as those of trained models. */
class SeededWeights implements DenseWeights {
  private readonly random: () => number;

  constructor(seed: number) {
    this.random = randomFrom(seed);
  }

  isHeadTied(): boolean {
    return false;
  }

  vector(_name: string, length: number): Promise<Float32Array> {
    return Promise.resolve(this.values(length, 1));
  }

  filter(_name: string, channels: number, width: number): Promise<Float32Array> {
    return Promise.resolve(this.values(channels * width, 1));
  }

  rows(_name: string, [rows, columns]: readonly [number, number]): Promise<Float32Array> {
    return Promise.resolve(this.values(rows * columns, Math.sqrt(3 / columns)));
  }

  stored(_name: string, shape: readonly [number, number]): StoredMatrix {
    return storedOf(this.matrix(shape));
  }

  /** By the length of its name: of the matrices of a layer, some are each. */
  residentDtype(name: string): WeightDtype {
    const isExact = name === names.EMBEDDING || name.endsWith('.mlp.gate.weight');
    return DTYPES[name.length % (isExact ? 2 : DTYPES.length)]!;
  }

  ffn(hidden: number, intermediate: number): FfnWeights {
    return ffnOf((_name, shape) => this.matrix(shape), '', hidden, intermediate);
  }

  private matrix([rows, columns]: readonly [number, number]): WeightMatrix {
    return matrixOf(this.values(rows * columns, Math.sqrt(3 / columns)), rows, columns);
  }

  values(count: number, scale: number): Float32Array<ArrayBuffer> {
    const values = new Float32Array(count);
    for (let i = 0; i < count; i++) values[i] = (2 * this.random() - 1) * scale;
    return values;
  }
}

/** Products with codes of every kind, which weights that are rounded here don't have. */
function hashCodes(memory: KernelMemory, weights: SeededWeights, hash: Hash): void {
  const [rows, columns, numRows] = [37, 64, 7];
  const [x, y] = [memory.allocate(4 * numRows * columns), memory.allocate(4 * numRows * rows)];
  for (const dtype of WEIGHT_DTYPES.filter(isCoded)) {
    const rowBytes = weightRowBytes(dtype, columns);
    const codes = weights.values(rows * rowBytes, 128);
    const bytes = Uint8Array.from(codes, (value) => (value + 128) & 0x77); // none is NaN
    const view = new DataView(bytes.buffer);
    for (let at = 0; at < bytes.length; at += rowBytes / 2) view.setFloat32(at, codes[at]! / 2 ** 14, true);
    const matrix = KernelMatrix.from(memory, { dtype, rows, columns, bytes }, dtype);
    memory.floats(x, numRows * columns).set(weights.values(numRows * columns, 1));
    memory.kernels.linear(x, numRows, matrix.address, y, rows);
    hash.update(memory.bytes(y, 4 * numRows * rows)).update(matrix.toFloat32());
    matrix.dispose();
  }
  for (const address of [x, y]) memory.free(address);
}

/** What rows become that travel, what is read of them, and their sums. */
function hashCodecs(hash: Hash): void {
  const [numRows, hidden] = [7, SHAPE.hidden];
  const random = randomFrom(1);
  const x = Float32Array.from({ length: numRows * hidden }, () => 8 * random() - 4);
  for (const dtype of WIRE_DTYPES) {
    const bytes = new Uint8Array(numRows * wireRowBytes(dtype, hidden));
    const out = new Float32Array(x.length);
    encodeRows(dtype, x, null, numRows, hidden, bytes);
    decodeRows(dtype, bytes, numRows, hidden, out, 0);
    hash.update(bytes).update(out);
    roundTripRows(dtype, x, null, numRows, hidden, out, 0);
    hash.update(out);
  }
  const { floats, valuesAt, sumsAt, copyRow, clearRow, addRow, addScaledRow } = codec();
  floats.set(x.subarray(0, 2 * hidden), valuesAt / 4);
  const second = valuesAt + 4 * hidden;
  clearRow(sumsAt, hidden);
  addRow(sumsAt, second, hidden);
  hash.update(floats.slice(sumsAt / 4, sumsAt / 4 + hidden));
  copyRow(sumsAt, valuesAt, hidden);
  addRow(sumsAt, second, hidden);
  addScaledRow(sumsAt, second, hidden, Math.SQRT1_2);
  hash.update(floats.slice(sumsAt / 4, sumsAt / 4 + hidden));
}

function part(
  sequence: number,
  numTokens: number,
  position: number,
  isPrompt: boolean,
): Omit<SequencePart, 'rowStart'> {
  const first = 4 * sequence;
  const state = { sequence, keeps: [] };
  return { numTokens, position, blocks: [first, first + 1, first + 2], isPrompt, state };
}

function stepOf(parts: readonly Omit<SequencePart, 'rowStart'>[]): StepTokens {
  let rowStart = 0;
  const placed = parts.map((each) => {
    const placedPart = { ...each, rowStart };
    rowStart += each.numTokens;
    return placedPart;
  });
  return { tokenIds: Int32Array.from({ length: rowStart }, (_, i) => (i * 37) % SHAPE.vocab), parts: placed };
}
