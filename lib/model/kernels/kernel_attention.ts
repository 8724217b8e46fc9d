/** A layer's attention and the norm before it, as kernels: x += attention(norm(x)). */
import { KV_DTYPES } from '../../../compute/base/kv_dtype.js';
import type { NormWeights } from '../../../compute/base/norm_weights.js';
import { Descriptor, type Fields } from '../../../compute/wasm/memory/descriptor.js';
import type { KernelMatrix } from '../../../compute/wasm/memory/kernel_matrix.js';
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { KernelNorm } from '../../../compute/wasm/memory/kernel_norm.js';
import { KernelVector } from '../../../compute/wasm/memory/kernel_vector.js';
import { GQA_LAYER, MLA_LAYER, ROPE_LAYOUTS } from '../../../compute/wasm/memory/layouts.js';
import { ModelError } from '../spec/errors.js';
import { cacheRowsOf } from '../spec/cache_layout.js';
import { kvUpRows } from '../spec/kv_up_rows.js';
import type { GqaSpec, IndexerSpec, MlaSpec, ModelSpec } from '../spec/spec.js';
import { attentionPart } from '../spec/tensor_names.js';
import { attentionShapes } from '../spec/tensor_shapes.js';
import type { KernelMixer } from './kernel_mixer.js';
import type { KernelStep } from './kernel_step.js';

/** By the names of Hugging Face checkpoints, each of the shape that the config implies. */
export interface KernelAttentionWeights {
  /** `q_proj`, `kv_a_proj_with_mqa`, …; `kv_b_proj` in the rows of {@link kvUpRows}. */
  readonly matrices: Readonly<Record<string, KernelMatrix>>;
  /** `kv_a_layernorm`, … */
  readonly norms: Readonly<Record<string, NormWeights>>;
  /** `q_proj.bias`, `sinks`, … */
  readonly vectors: Readonly<Record<string, Float32Array>>;
  /** Before the attention, of H channels. */
  readonly inputNorm: NormWeights;
  /** Its number in the model. */
  readonly layer: number;
  /** GQA only: keys that a token sees at most, itself included. Null: all. */
  readonly window: number | null;
}

/** No sequence is longer; a wider window would overflow the kernels' whole numbers. */
const MAX_WINDOW = 2 ** 30;

type LayerDescriptor = Descriptor<typeof GQA_LAYER> | Descriptor<typeof MLA_LAYER>;

/** Owns its weights. */
export class KernelAttention implements KernelMixer {
  private readonly kind: 'mla' | 'gqa';
  private readonly held: (KernelVector | KernelNorm)[] = [];
  private readonly descriptor: LayerDescriptor;
  private blockSize = 0;
  /** Multiply-adds of a token, and of a query and a key that it sees. */
  private readonly numWeights: number;
  private readonly perPair: number;

  /**
   * `cacheLayer`: its number among the layers of its KV cache.
   * @throws ModelError INVALID_MODEL_CONFIG for a weight that is missing or of another shape; ExpertError OUT_OF_MEMORY
   */
  constructor(
    private readonly memory: KernelMemory,
    spec: ModelSpec,
    private readonly cacheLayer: number,
    private readonly weights: KernelAttentionWeights,
  ) {
    checkWeights(spec, weights);
    this.kind = spec.attention.kind;
    this.numWeights = Object.values(weights.matrices).reduce((sum, { rows, columns }) => sum + rows * columns, 0);
    this.perPair = 2 * spec.attention.numHeads * queryWidthOf(spec.attention);
    this.descriptor =
      spec.attention.kind === 'mla'
        ? new Descriptor(memory, MLA_LAYER, this.mlaFields(spec, spec.attention))
        : new Descriptor(memory, GQA_LAYER, this.gqaFields(spec, spec.attention));
  }

  /** Appends the step's tokens to the cache, attends, and adds to the step's hidden states. @throws ExpertError OUT_OF_MEMORY */
  attend(step: KernelStep): Promise<void> | undefined {
    if (step.blockSize !== this.blockSize) {
      const { blockSize, layerBytes, kvDtype } = step;
      const cacheOffset = this.cacheLayer * layerBytes;
      this.descriptor.set({ blockSize, cacheOffset, kvDtype: KV_DTYPES.indexOf(kvDtype) });
      this.blockSize = step.blockSize;
    }
    const kernel = this.kind === 'mla' ? 'mlaLayer' : 'gqaLayer';
    const numMultiplyAdds = step.numTokens * this.numWeights + step.numPairs * this.perPair;
    return step.run((address) => this.memory.call(kernel, numMultiplyAdds, this.descriptor.address, address));
  }

  /** Frees all weights that it owns. */
  dispose(): void {
    for (const part of [this.descriptor, ...this.held, ...Object.values(this.weights.matrices)]) part.dispose();
  }

  private mlaFields(spec: ModelSpec, mla: MlaSpec): Fields<typeof MLA_LAYER> {
    const { numHeads, qLoraRank, kvLoraRank, qkNopeHeadDim, qkRopeHeadDim, vHeadDim, softmaxScale } = mla;
    return {
      ...this.commonFields(spec),
      qNorm: this.normOf('q_a_layernorm'),
      kvNorm: this.normOf('kv_a_layernorm'),
      qDown: this.matrix('q_a_proj'),
      q: this.matrix(qLoraRank === null ? 'q_proj' : 'q_b_proj'),
      kvDown: this.matrix('kv_a_proj_with_mqa'),
      kvUp: this.matrix('kv_b_proj'),
      ...{ numHeads, kvLoraRank, softmaxScale },
      isNarrow: Number(cacheRowsOf(mla).rows[1]!.isNarrow),
      ...this.indexFields(mla.indexer),
      ...{ nopeDim: qkNopeHeadDim, ropeDim: qkRopeHeadDim, valueDim: vHeadDim },
    };
  }

  /** A layer without an indexer of its own attends to what the one before it chose. */
  private indexFields(indexer: IndexerSpec | null) {
    return {
      indexQuery: this.matrix('indexer.wq_b'),
      indexKey: this.matrix('indexer.wk'),
      indexWeights: this.matrix('indexer.weights_proj'),
      indexNorm: this.normOf('indexer.k_norm'),
      indexHeads: indexer?.numHeads ?? 0,
      indexDim: indexer?.headDim ?? 0,
      indexLayout: indexer === null ? 0 : ROPE_LAYOUTS.indexOf(indexer.layout),
      indexTopk: indexer?.topk ?? 0,
    };
  }

  private gqaFields(spec: ModelSpec, gqa: GqaSpec): Fields<typeof GQA_LAYER> {
    const { numHeads, numKvHeads, headDim, softmaxScale } = gqa;
    return {
      ...this.commonFields(spec),
      qNorm: this.normOf('q_norm'),
      kNorm: this.normOf('k_norm'),
      normsVectors: Number(gqa.qkNorm === 'vector'),
      ...{ q: this.matrix('q_proj'), k: this.matrix('k_proj'), v: this.matrix('v_proj') },
      qBias: this.vectorOf('q_proj.bias'),
      kBias: this.vectorOf('k_proj.bias'),
      vBias: this.vectorOf('v_proj.bias'),
      outputBias: this.vectorOf('o_proj.bias'),
      isGated: Number(gqa.hasOutputGate),
      clip: gqa.clip ?? Infinity,
      sinks: this.vectorOf('sinks'),
      window: Math.min(this.weights.window ?? 0, MAX_WINDOW),
      ...{ numHeads, numKvHeads, headDim, softmaxScale, ropeDim: spec.rope.dim },
    };
  }

  private commonFields({ hiddenSize, rope, multipliers }: ModelSpec) {
    return {
      ...{ hiddenSize, blockSize: 0, cacheOffset: 0, kvDtype: 0 },
      norm: this.hold(new KernelNorm(this.memory, this.weights.inputNorm)),
      residual: multipliers.residual,
      output: this.matrix('o_proj'),
      ropeLayout: ROPE_LAYOUTS.indexOf(rope.layout),
    };
  }

  /** 0 where the layer has none. */
  private matrix(name: string): number {
    return this.weights.matrices[name]?.address ?? 0;
  }

  /** 0 where the layer has none. */
  private normOf(name: string): number {
    const norm = this.weights.norms[name];
    const bias = this.weights.vectors[`${name}.bias`] ?? null;
    return norm === undefined ? 0 : this.hold(new KernelNorm(this.memory, { ...norm, bias }));
  }

  /** 0 where the layer has none. */
  private vectorOf(name: string): number {
    const values = this.weights.vectors[name];
    return values === undefined ? 0 : this.hold(new KernelVector(this.memory, values));
  }

  private hold(part: KernelVector | KernelNorm): number {
    this.held.push(part);
    return part.address;
  }
}

const queryWidthOf = (attention: MlaSpec | GqaSpec): number =>
  attention.kind === 'mla' ? attention.kvLoraRank + attention.qkRopeHeadDim : attention.headDim;

function checkWeights(
  { attention, hiddenSize }: ModelSpec,
  { matrices, norms, vectors, inputNorm, window, layer }: KernelAttentionWeights,
): void {
  const check = (name: string, got: readonly number[] | undefined, expected: readonly number[]): void => {
    if (got?.join() === expected.join()) return;
    const found = got === undefined ? 'missing' : `[${got.join(', ')}]`;
    throw new ModelError(
      'INVALID_MODEL_CONFIG',
      `${name} is ${found}, and config.json implies [${expected.join(', ')}]; compare it with the checkpoint's original config.json`,
    );
  };
  for (const { name, kind, shape } of attentionShapes(attention, layer, hiddenSize)) {
    const part = attentionPart(name);
    const matrix = matrices[part];
    const vector = kind === 'norm' ? norms[part]?.weight : vectors[part];
    const got = kind === 'matrix' ? matrix && [matrix.rows, matrix.columns] : vector && [vector.length];
    const isKvUp = attention.kind === 'mla' && part === 'kv_b_proj';
    check(part, got, isKvUp ? [kvUpRows(attention), attention.kvLoraRank] : shape);
  }
  check('input_layernorm', [inputNorm.weight.length], [hiddenSize]);
  const isWindow = window === null || (Number.isInteger(window) && window > 0);
  if (!isWindow)
    throw new ModelError(
      'INVALID_MODEL_CONFIG',
      `sliding_window is ${window}; give a whole number from 1, or null for none`,
    );
}
