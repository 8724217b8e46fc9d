/** A layer without keys and values as kernels, with what a step needs around it. */
import { storedOf } from '../../../compute/base/stored_matrix.js';
import { PLAIN_KERNELS } from '../../../compute/wasm/memory/kernel_settings.js';
import { WeightLoader } from '../../../compute/wasm/memory/weight_loader.js';
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import type { Crew } from '../../../compute/wasm/threads/crew.js';
import { padded, type ResidentDtype } from '../../../compute/wasm/memory/resident_dtype.js';
import type { SequencePart } from '../../../lib/model/decoder/decoder.js';
import type { KernelMixer } from '../../../lib/model/kernels/kernel_mixer.js';
import { KernelKvCache } from '../../../lib/model/kernels/kernel_kv_cache.js';
import { KernelStep } from '../../../lib/model/kernels/kernel_step.js';
import { loadStateMixer } from '../../../lib/model/kernels/load_states.js';
import { stateFloats } from '../../../lib/model/spec/cache_layout.js';
import type { ModelSpec, StateMixer } from '../../../lib/model/spec/spec.js';
import { deltaRuleShapes, shortConvShapes } from '../../../lib/model/spec/state_shapes.js';
import type { TensorShape } from '../../../lib/model/spec/tensor_shape.js';
import type { DenseWeights } from '../../../lib/model/weights/weight_reader.js';
import type { WeightsRef } from '../../refs/attention_ref.js';
import { randomFrom, randomValues } from '../../refs/random.js';
import { gqaSpec, HIDDEN } from './attention_cases.js';
import { GuardedMemory } from './guarded_memory.js';
import { f32Matrix } from './kernel_rows.js';

/** Tensors of a layer by the part of their name, and `input_layernorm`. */
export function randomMixerWeights(mixer: StateMixer, seed: number): WeightsRef {
  const random = randomFrom(seed);
  const entries = shapesOf(mixer).map(({ name, kind, shape }) => {
    const count = shape.reduce((a, b) => a * b, 1);
    const values = randomValues(random, count, kind === 'matrix' ? 0.4 : 0.8);
    return [partOf(name), kind === 'norm' ? values.map((value) => 1 + value) : values] as const;
  });
  const inputNorm = randomValues(random, HIDDEN, 0.5).map((value) => 1 + value);
  return { ...Object.fromEntries(entries), input_layernorm: inputNorm };
}

const shapesOf = (mixer: StateMixer): TensorShape[] => [
  ...(mixer.kind === 'short_conv' ? shortConvShapes(mixer, 0, HIDDEN) : deltaRuleShapes(mixer, 0, HIDDEN)),
];

const partOf = (name: string): string => name.split('.').slice(4).join('.');

/** The second of two such layers, whose states lie behind each other. */
export class KernelMixerLayer {
  private constructor(
    readonly memory: KernelMemory,
    readonly spec: ModelSpec,
    private readonly step: KernelStep,
    private readonly mixer: KernelMixer,
  ) {}

  static async load(
    mixer: StateMixer,
    weights: WeightsRef,
    { dtype = 'f32', crew = null }: { readonly dtype?: ResidentDtype; readonly crew?: Crew | null } = {},
  ): Promise<KernelMixerLayer> {
    const memory = new GuardedMemory(undefined, PLAIN_KERNELS, crew);
    const plain = gqaSpec({});
    const layer = { ...plain.layers[0]!, mixer };
    const spec = { ...plain, layers: [layer, layer] };
    const loader = new WeightLoader();
    const loaded = await loadStateMixer(
      {
        ...{ memory, spec, weights: loader, layer: 1, reader: readerOf(weights, dtype) },
        stateOffset: 4 * stateFloats(mixer, HIDDEN),
        inputNorm: { weight: weights.input_layernorm!, bias: null, eps: plain.normEps },
      },
      mixer,
    );
    loader.close();
    return new KernelMixerLayer(memory, spec, new KernelStep(memory, spec, 'auto'), loaded);
  }

  createCache(blockSize: number): KernelKvCache {
    return new KernelKvCache(this.memory, this.spec, blockSize, 'f32');
  }

  /** x + mixer(norm(x)) */
  async forward(x: Float32Array, parts: readonly SequencePart[], cache: KernelKvCache): Promise<Float32Array> {
    const numTokens = x.length / HIDDEN;
    this.step.prepare(parts, numTokens, cache);
    const stride = padded(HIDDEN);
    const rows = this.memory.floats(this.step.x, numTokens * stride).fill(0);
    for (let t = 0; t < numTokens; t++) rows.set(x.subarray(t * HIDDEN, (t + 1) * HIDDEN), t * stride);
    await this.mixer.attend(this.step);
    const out = this.memory.floats(this.step.x, numTokens * stride);
    const y = new Float32Array(x.length);
    for (let t = 0; t < numTokens; t++) y.set(out.subarray(t * stride, t * stride + HIDDEN), t * HIDDEN);
    return y;
  }

  dispose(): void {
    this.mixer.dispose();
    this.step.dispose();
  }
}

function readerOf(weights: WeightsRef, dtype: ResidentDtype): DenseWeights {
  const vector = (name: string): Promise<Float32Array> => Promise.resolve(weights[partOf(name)]!);
  return {
    isHeadTied: () => false,
    vector,
    filter: vector,
    rows: vector,
    stored: (name, [rows, columns]) => storedOf(f32Matrix(rows, columns, weights[partOf(name)]!)),
    residentDtype: () => dtype,
  };
}
