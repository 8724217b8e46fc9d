/** From tokens to hidden states, and from hidden states to logits. Shape suffixes: T tokens, H hidden, V vocabulary. */
import type { NormWeights } from '../../../compute/base/norm_weights.js';
import { Descriptor } from '../../../compute/wasm/memory/descriptor.js';
import { GrowingBlock } from '../../../compute/wasm/memory/growing_block.js';
import type { KernelMatrix } from '../../../compute/wasm/memory/kernel_matrix.js';
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { KernelNorm } from '../../../compute/wasm/memory/kernel_norm.js';
import { KernelVector } from '../../../compute/wasm/memory/kernel_vector.js';
import { HEAD } from '../../../compute/wasm/memory/layouts.js';
import { InternalError } from '../../../base/coded_error.js';
import { ModelError } from '../spec/errors.js';
import type { ModelSpec } from '../spec/spec.js';
import { KernelLogitRow } from './kernel_logits.js';
import type { KernelStep } from './kernel_step.js';

/** The weights at both ends of a model. */
export interface KernelVocabularyWeights {
  /** [V, H] */
  readonly embedding: KernelMatrix;
  /** Of H channels. */
  readonly finalNorm: NormWeights;
  /** [V, H]; null where the embedding serves as head too. */
  readonly head: KernelMatrix | null;
  /** [V], added to the logits. */
  readonly headBias: Float32Array | null;
}

/** Owns its weights. Embedding and head may lie in different memories. */
export class KernelVocabulary {
  /** The head's. */
  private readonly memory: KernelMemory;
  private readonly norm: KernelNorm;
  private readonly bias: KernelVector | null;
  /** What embedded tokens are multiplied with. */
  private readonly factor: number;
  private readonly descriptor: Descriptor<typeof HEAD>;
  private readonly tokens: GrowingBlock;
  private readonly indices: GrowingBlock;
  private readonly values: GrowingBlock;

  /** @throws ModelError INVALID_MODEL_CONFIG for weights of another shape; ExpertError OUT_OF_MEMORY */
  constructor(
    spec: ModelSpec,
    private readonly weights: KernelVocabularyWeights,
  ) {
    checkWeights(spec, weights);
    const { hiddenSize, multipliers } = spec;
    const { embedding, finalNorm, headBias } = weights;
    const { memory, address: matrix } = weights.head ?? embedding;
    this.memory = memory;
    this.factor = multipliers.embedding;
    this.norm = new KernelNorm(memory, finalNorm);
    this.bias = headBias && new KernelVector(memory, headBias);
    const fields = { norm: this.norm.address, matrix, bias: this.bias?.address ?? 0, hiddenSize };
    this.descriptor = new Descriptor(memory, HEAD, fields);
    this.tokens = new GrowingBlock(embedding.memory);
    this.indices = new GrowingBlock(memory);
    this.values = new GrowingBlock(memory);
  }

  /** Writes the embeddings of the step's tokens to its hidden states, in the embedding's memory. @throws InternalError for another number of tokens, or one that isn't of V */
  embed(step: KernelStep, tokenIds: Int32Array): void {
    const { embedding } = this.weights;
    if (tokenIds.length !== step.numTokens) throw internal(`${tokenIds.length} tokens in a step of ${step.numTokens}`);
    checkIndices('token', tokenIds, embedding.rows);
    const ids = written(embedding.memory, this.tokens, tokenIds);
    embedding.memory.kernels.embed(ids, tokenIds.length, embedding.address, step.x, this.factor);
  }

  /** Logits of some rows of the step's hidden states, in the head's memory. @throws InternalError for a row that isn't of the step; ExpertError OUT_OF_MEMORY */
  async logits(step: KernelStep, rows: readonly number[]): Promise<KernelLogitRow[]> {
    const { rows: vocabSize, columns: hiddenSize } = this.weights.embedding;
    checkIndices('row', rows, step.numTokens);
    const values = this.values.reserve(4 * rows.length * vocabSize);
    const indices = written(this.memory, this.indices, rows, vocabSize);
    await step.runIn((scratch, bytes) =>
      this.memory.call(
        'logitsOf',
        rows.length * vocabSize * hiddenSize,
        this.descriptor.address,
        step.x,
        indices,
        rows.length,
        values,
        vocabSize,
        scratch,
        bytes,
      ),
    );
    return rows.map((_, i) => new KernelLogitRow(this.memory, values + 4 * i * vocabSize, vocabSize, indices));
  }

  /** Frees all weights that it owns. */
  dispose(): void {
    const { embedding, head } = this.weights;
    for (const part of [this.descriptor, this.norm, this.tokens, this.indices, this.values, embedding]) part.dispose();
    head?.dispose();
    this.bias?.dispose();
  }
}

/** Address of whole numbers, in a block with room for `least` at least. */
function written(memory: KernelMemory, block: GrowingBlock, numbers: ArrayLike<number>, least = 0): number {
  const address = block.reserve(4 * Math.max(numbers.length, least));
  memory.words(address, numbers.length).set(numbers);
  return address;
}

function checkWeights(
  { vocabSize, hiddenSize }: ModelSpec,
  { embedding, finalNorm, head, headBias }: KernelVocabularyWeights,
): void {
  const matrices = [embedding, ...(head === null ? [] : [head])];
  const isRight = matrices.every(({ rows, columns }) => rows === vocabSize && columns === hiddenSize);
  if (isRight && finalNorm.weight.length === hiddenSize && (headBias?.length ?? vocabSize) === vocabSize) return;
  const shapes = matrices.map(({ rows, columns }) => `[${rows}, ${columns}]`).join(' and ');
  throw new ModelError(
    'INVALID_MODEL_CONFIG',
    `embedding and head are ${shapes} with a norm of ${finalNorm.weight.length} and ${headBias?.length ?? 'no'} biases, and config.json implies [${vocabSize}, ${hiddenSize}]; ` +
      "compare it with the checkpoint's original config.json",
  );
}

function checkIndices(what: string, indices: ArrayLike<number>, count: number): void {
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i]!;
    if (!Number.isInteger(index) || index < 0 || index >= count) throw internal(`${what} ${index} of ${count}`);
  }
}

const internal = (what: string): InternalError => new InternalError(what);
