/** The dense part of a model as TensorFlow.js tensors, on any backend. Shape suffixes: T tokens of the step, H hidden, V vocabulary. */
import type { Ffn } from '../../../compute/tfjs/experts/ffn.js';
import type { MoeTokens } from '../../../experts/layer/moe_tokens.js';
import { TensorMoeTokens, type MoeTensors } from '../../../experts/layer/tensor_moe_tokens.js';
import { add, gatherRows, matMul, mul, rowsOf, tidy, toTensor, type Tensor2D } from '../../../compute/tfjs/tf.js';
import type { Decoder, HiddenStates, SequencePart, StepTokens } from '../decoder/decoder.js';
import { logitRowsOf, type LogitRow } from '../decoder/logits.js';
import type { ModelSpec } from '../spec/spec.js';
import { CausalMasks, type Attention, type StepInputs } from './attention.js';
import { TensorKvCache } from './tensor_kv_cache.js';
import type { Norm } from './norm.js';
import type { Rope } from './rope.js';

/** A layer's two halves, each with the norm before it. */
export interface TensorLayer {
  readonly attentionNorm: Norm;
  readonly attention: Attention;
  readonly mlpNorm: Norm;
  readonly mlp: { readonly kind: 'dense'; readonly ffn: Ffn } | { readonly kind: 'moe'; readonly moe: MoeTensors };
}

/** What a decoder is made of; the decoder owns it. */
export interface TensorDecoderParts {
  readonly spec: ModelSpec;
  readonly embedding_VH: Tensor2D;
  readonly layers: readonly TensorLayer[];
  readonly finalNorm: Norm;
  readonly head_HV: Tensor2D;
  readonly headBias_1V: Tensor2D | null;
  /** What embedded tokens, and what layers add, are multiplied with, [1,1]; null: 1. */
  readonly factors: { readonly embedding: Tensor2D | null; readonly residual: Tensor2D | null };
  readonly rope: Rope;
  /** Tokens per KV block. */
  readonly blockSize: number;
}

/** The dense part with the active backend of TensorFlow.js. Every operation is a kernel of the backend. */
export class TensorDecoder implements Decoder {
  readonly cache: TensorKvCache;

  constructor(private readonly parts: TensorDecoderParts) {
    const { spec, layers, blockSize } = parts;
    this.cache = new TensorKvCache({
      numLayers: spec.layers.length,
      lanes: layers[0]!.attention.lanes,
      blockSize,
    });
  }

  /** What all layers share, such as angles, is made here once. */
  begin({ tokenIds, parts }: StepTokens): HiddenStates {
    const x_TH = tidy(() => times(gatherRows(this.parts.embedding_VH, tokenIds), this.parts.factors.embedding));
    return new TensorHiddenStates(this.parts, this.cache, x_TH, this.stepInputs(parts, tokenIds.length));
  }

  /** Frees everything that it is made of. */
  dispose(): void {
    const { embedding_VH, layers, finalNorm, head_HV, headBias_1V, factors, rope } = this.parts;
    for (const { attentionNorm, attention, mlpNorm, mlp } of layers) {
      for (const part of [attentionNorm, attention, mlpNorm]) part.dispose();
      if (mlp.kind === 'dense') mlp.ffn.dispose();
      else {
        mlp.moe.gate.dispose();
        mlp.moe.sharedExperts?.dispose();
      }
    }
    for (const part of [embedding_VH, finalNorm, head_HV, rope, this.cache]) part.dispose();
    for (const part of [headBias_1V, factors.embedding, factors.residual]) part?.dispose();
  }

  private stepInputs(parts: readonly SequencePart[], numTokens: number): StepInputs {
    const { rope, spec } = this.parts;
    const positions = parts.flatMap((part) => Array.from({ length: part.numTokens }, (_, i) => part.position + i));
    const numKeyHeads = spec.attention.kind === 'mla' ? 1 : spec.attention.numKvHeads;
    const numKeyRows = numTokens * numKeyHeads;
    return {
      parts,
      numTokens,
      qAngles: rope.angles(positions, spec.attention.numHeads),
      kAngles: rope.angles(positions, numKeyHeads),
      ones: toTensor(new Float32Array(numKeyRows).fill(1), [numKeyRows, 1]),
      masks: new CausalMasks(),
    };
  }
}

class TensorHiddenStates implements HiddenStates {
  /** Of the layer that runs. */
  private moeTokens: TensorMoeTokens | null = null;

  constructor(
    private readonly parts: TensorDecoderParts,
    private readonly cache: TensorKvCache,
    private x_TH: Tensor2D,
    private readonly step: StepInputs,
  ) {}

  attend(layer: number): undefined {
    const { attention, attentionNorm } = this.parts.layers[layer]!;
    this.addTo((x_TH) => attention.forward(attentionNorm.forward(x_TH), layer, this.step, this.cache));
  }

  feedForward(layer: number): undefined {
    const { mlp, mlpNorm } = this.parts.layers[layer]!;
    if (mlp.kind !== 'dense') throw new Error(`layer ${layer} is no dense layer`);
    this.addTo((x_TH) => mlp.ffn.forward(mlpNorm.forward(x_TH)));
  }

  moe(layer: number): MoeTokens {
    const { mlp, mlpNorm } = this.parts.layers[layer]!;
    if (mlp.kind !== 'moe') throw new Error(`layer ${layer} is no MoE layer`);
    this.moeTokens?.dispose();
    return (this.moeTokens = new TensorMoeTokens(mlp.moe, mlpNorm.forward(this.x_TH), (y_TH) =>
      this.addTo(() => y_TH),
    ));
  }

  async read(rows: readonly number[]): Promise<Float32Array> {
    const wanted_nH = gatherRows(this.x_TH, Int32Array.from(rows));
    return rowsOf(wanted_nH).finally(() => wanted_nH.dispose());
  }

  async logits(rows: readonly number[]): Promise<readonly LogitRow[]> {
    const { finalNorm, head_HV, headBias_1V, spec } = this.parts;
    const { x_TH } = this;
    const logits_TV = tidy(() => {
      const isAll = rows.length === x_TH.shape[0];
      const wanted = isAll ? x_TH : gatherRows(x_TH, Int32Array.from(rows));
      const products = matMul(finalNorm.forward(wanted), head_HV);
      return headBias_1V === null ? products : add(products, headBias_1V);
    });
    const logits = await rowsOf(logits_TV);
    logits_TV.dispose();
    return logitRowsOf(logits, spec.vocabSize);
  }

  dispose(): void {
    const { qAngles, kAngles, ones, masks } = this.step;
    this.moeTokens?.dispose();
    for (const part of [this.x_TH, qAngles, kAngles, ones, masks]) part.dispose();
  }

  /** The residual connection. */
  private addTo(made: (x_TH: Tensor2D) => Tensor2D): void {
    const { x_TH } = this;
    this.x_TH = tidy(() => add(x_TH, times(made(x_TH), this.parts.factors.residual)));
    x_TH.dispose();
  }
}

const times = (x: Tensor2D, factor: Tensor2D | null): Tensor2D => (factor === null ? x : mul(x, factor));
