/** An attention layer as kernels, with what a step needs around it. */
import type { KvDtype } from '../../../compute/base/kv_dtype.js';
import type { NormWeights } from '../../../compute/base/norm_weights.js';
import { KernelMatrix } from '../../../compute/wasm/memory/kernel_matrix.js';
import { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { PLAIN_KERNELS } from '../../../compute/wasm/memory/kernel_settings.js';
import type { Crew } from '../../../compute/wasm/threads/crew.js';
import { padded, type ResidentDtype } from '../../../compute/wasm/memory/resident_dtype.js';
import type { SequencePart } from '../../../lib/model/decoder/decoder.js';
import { KernelAttention, type KernelAttentionWeights } from '../../../lib/model/kernels/kernel_attention.js';
import { KernelKvCache } from '../../../lib/model/kernels/kernel_kv_cache.js';
import { KernelStep } from '../../../lib/model/kernels/kernel_step.js';
import { kvUpRanges } from '../../../lib/model/kernels/kv_up.js';
import { kvUpRows } from '../../../lib/model/spec/kv_up_rows.js';
import { type MlaForm, type MlaSpec, type ModelSpec, windowOf } from '../../../lib/model/spec/spec.js';
import { attentionName } from '../../../lib/model/spec/tensor_names.js';
import { attentionShapes } from '../../../lib/model/spec/tensor_shapes.js';
import type { WeightsRef } from '../../refs/attention_ref.js';
import { runSchedule, type Schedule, type Sequence } from './attention_cases.js';
import { GuardedMemory } from './guarded_memory.js';
import { f32Matrix } from './kernel_rows.js';

/** Weights in a memory; `inputNorm` is part of {@link WeightsRef} under the name `input_layernorm`. */
export function kernelWeights(
  memory: KernelMemory,
  { attention, hiddenSize, layers, normEps }: ModelSpec,
  weights: WeightsRef,
  dtype: ResidentDtype,
): KernelAttentionWeights {
  const matrices: Record<string, KernelMatrix> = {};
  const norms: Record<string, NormWeights> = {};
  const vectors: Record<string, Float32Array> = {};
  const eps = attention.kind === 'mla' ? attention.latentNormEps : normEps;
  const shapes = new Map([...attentionShapes(attention, 0, hiddenSize)].map((shape) => [shape.name, shape]));
  for (const [name, values] of Object.entries(weights)) {
    const shape = shapes.get(attentionName(0, name));
    if (shape === undefined) continue;
    const [rows, columns] = shape.shape as [number, number];
    if (shape.kind === 'norm') norms[name] = { weight: values, bias: null, eps };
    else if (shape.kind !== 'matrix') vectors[name] = values;
    else if (attention.kind === 'mla' && name === 'kv_b_proj')
      matrices[name] = kvUpMatrix(memory, attention, values, columns, dtype);
    else matrices[name] = KernelMatrix.from(memory, f32Matrix(rows, columns, values), dtype);
  }
  const inputNorm = { weight: weights.input_layernorm!, bias: null, eps: normEps };
  return { matrices, norms, vectors, inputNorm, layer: 0, window: windowOf(layers[0]!) };
}

function kvUpMatrix(
  memory: KernelMemory,
  attention: MlaSpec,
  values: Float32Array,
  columns: number,
  dtype: ResidentDtype,
): KernelMatrix {
  const matrix = new KernelMatrix(memory, kvUpRows(attention), columns, dtype);
  for (const { from, to, numRows } of kvUpRanges(attention))
    matrix.set(f32Matrix(numRows, columns, values.subarray(from * columns, (from + numRows) * columns)), to);
  return matrix;
}

/** The same weights as the kernels see them in a dtype. */
export function roundedWeights(spec: ModelSpec, weights: WeightsRef, dtype: ResidentDtype): WeightsRef {
  const memory = new KernelMemory();
  const shapes = new Map([...attentionShapes(spec.attention, 0, spec.hiddenSize)].map((shape) => [shape.name, shape]));
  const rounded = Object.entries(weights).map(([name, values]) => {
    const shape = shapes.get(attentionName(0, name));
    if (shape?.kind !== 'matrix') return [name, values] as const;
    const [rows, columns] = shape.shape as [number, number];
    return [name, KernelMatrix.from(memory, f32Matrix(rows, columns, values), dtype).toFloat32()] as const;
  });
  return Object.fromEntries(rounded);
}

export class KernelAttentionLayer {
  readonly memory: KernelMemory;
  readonly step: KernelStep;
  private readonly spec: ModelSpec;
  private readonly attention: KernelAttention;
  /** The second of two layers that share cache blocks. */
  private readonly layer = 1;

  constructor(
    spec: ModelSpec,
    weights: WeightsRef,
    form: MlaForm,
    dtype: ResidentDtype = 'f32',
    limitBytes?: number,
    crew: Crew | null = null,
  ) {
    this.memory = new GuardedMemory(limitBytes, PLAIN_KERNELS, crew);
    this.spec = { ...spec, layers: [spec.layers[0]!, spec.layers[0]!] };
    this.step = new KernelStep(this.memory, spec, form);
    const held = kernelWeights(this.memory, spec, weights, dtype);
    this.attention = new KernelAttention(this.memory, spec, this.layer, held);
  }

  createCache(blockSize: number, dtype: KvDtype = 'f32'): KernelKvCache {
    return new KernelKvCache(this.memory, this.spec, blockSize, dtype);
  }

  /** x + attention(norm(x)), [L·H] of each sequence. */
  async run(
    sequences: readonly Sequence[],
    schedule: Schedule,
    blockSize: number,
    numRuns = 1,
  ): Promise<Float32Array[]> {
    const cache = this.createCache(blockSize);
    const outputs = await runSchedule(sequences, schedule, (x, parts) => this.forward(x, parts, cache), numRuns);
    cache.dispose();
    return outputs;
  }

  /** One step. */
  forward(x: Float32Array, parts: readonly SequencePart[], cache: KernelKvCache): Float32Array {
    const { hiddenSize } = this.spec;
    const stride = padded(hiddenSize);
    const numTokens = x.length / hiddenSize;
    this.step.prepare(parts, numTokens, cache);
    const rows = this.memory.floats(this.step.x, numTokens * stride);
    for (let t = 0; t < numTokens; t++) rows.set(x.subarray(t * hiddenSize, (t + 1) * hiddenSize), t * stride);
    if (this.attention.attend(this.step) !== undefined) throw new Error('no call of a test is long');
    const out = this.memory.floats(this.step.x, numTokens * stride);
    return Float32Array.from(
      { length: x.length },
      (_, i) => out[Math.floor(i / hiddenSize) * stride + (i % hiddenSize)]!,
    );
  }

  dispose(): void {
    this.attention.dispose();
    this.step.dispose();
  }
}
