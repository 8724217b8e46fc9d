/**
 * A decoder-only transformer with dense and MoE layers: the layers' order, nothing about a family.
 * Shape suffixes: T tokens of this rank's step, H hidden, V vocabulary.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { StepTag } from '../../comm/frame.js';
import type { Ffn } from '../../experts/ffn.js';
import type { Routing } from '../../experts/gate.js';
import type { MoeLayer } from '../../experts/moe_layer.js';
import type { Placement } from '../../experts/placement.js';
import type { ExpertShard } from '../../experts/shard.js';
import type { Stopwatch } from '../../experts/stopwatch.js';
import { add, gatherRows, matMul, rowsOf, tidy, toTensor, type Tensor2D } from '../../experts/tf.js';
import { CausalMasks, type Attention, type SequencePart, type StepInputs } from './attention.js';
import { KvCache } from './kv_cache.js';
import type { RmsNorm } from './norm.js';
import type { Rope } from './rope.js';
import { numKvLanes, type ModelSpec } from './spec.js';

export interface DecoderLayer {
  readonly attentionNorm: RmsNorm;
  readonly attention: Attention;
  readonly mlpNorm: RmsNorm;
  readonly mlp: { readonly kind: 'dense'; readonly ffn: Ffn } | { readonly kind: 'moe'; readonly moe: MoeLayer };
}

export interface TransformerParts {
  readonly spec: ModelSpec;
  readonly embedding_VH: Tensor2D;
  readonly layers: readonly DecoderLayer[];
  readonly finalNorm: RmsNorm;
  readonly head_HV: Tensor2D;
  readonly rope: Rope;
  /** The routed experts of this rank, all layers; layers use it through their MoeLayer. */
  readonly shard: ExpertShard;
  readonly clock: Stopwatch;
}

/** One step of one rank. */
export interface ForwardRequest {
  readonly tokenIds: Int32Array;
  /** Generated tokens before prompt tokens. */
  readonly parts: readonly SequencePart[];
  readonly cache: KvCache;
  readonly placement: Placement;
  readonly tag: Omit<StepTag, 'layer' | 'microBatch'>;
  /** Per MoE layer [T·K]: experts that tokens go to instead of the gate's choice, for experiments. */
  readonly forcedExperts?: readonly Int32Array[];
  readonly signal?: AbortSignal;
}

export interface ForwardResult {
  /** Last hidden state before the final norm; null without tokens. The caller disposes it. */
  readonly hidden_TH: Tensor2D | null;
  /** One per MoE layer. */
  readonly routings: readonly Routing[];
}

export class Transformer {
  private readonly parts: TransformerParts;

  constructor(parts: TransformerParts) {
    this.parts = parts;
  }

  get spec(): ModelSpec {
    return this.parts.spec;
  }

  /** The routed experts of this rank, all layers. */
  get shard(): ExpertShard {
    return this.parts.shard;
  }

  createCache(blockSize: number): KvCache {
    const { layers, attention } = this.parts.spec;
    return new KvCache({ numLayers: layers.length, numLanes: numKvLanes(attention), blockSize });
  }

  /** All layers over the step's tokens. Every rank calls it for every step, with zero tokens too. */
  async forward(request: ForwardRequest): Promise<ForwardResult> {
    const { layers, embedding_VH, clock } = this.parts;
    const step = request.tokenIds.length > 0 ? this.stepInputs(request.parts, request.tokenIds.length) : null;
    const routings: Routing[] = [];
    let x_TH = step && tidy(() => gatherRows(embedding_VH, request.tokenIds));
    clock.lap('other');
    try {
      for (const [i, layer] of layers.entries()) {
        if (x_TH !== null) x_TH = replace(x_TH, this.attend(layer, i, x_TH, step!, request.cache));
        clock.lap('attention', { layer: i });
        x_TH = await this.feedForward(layer, i, x_TH, request, routings);
        await turn(); // A layer may have computed for long: sockets and signals get their turn.
      }
      return { hidden_TH: x_TH, routings };
    } catch (error) {
      x_TH?.dispose();
      throw error;
    } finally {
      disposeInputs(step);
    }
  }

  /** Logits [rows·V] of some rows of the last hidden state. */
  async logits(hidden_TH: Tensor2D, rows: readonly number[]): Promise<Float32Array> {
    const { finalNorm, head_HV, clock } = this.parts;
    const logits_TV = tidy(() => {
      const isAll = rows.length === hidden_TH.shape[0];
      const wanted = isAll ? hidden_TH : gatherRows(hidden_TH, Int32Array.from(rows));
      return matMul(finalNorm.forward(wanted), head_HV);
    });
    const logits = await rowsOf(logits_TV);
    logits_TV.dispose();
    clock.lap('sampling');
    return logits;
  }

  dispose(): void {
    const { embedding_VH, layers, finalNorm, head_HV, rope, shard } = this.parts;
    for (const { attentionNorm, attention, mlpNorm, mlp } of layers) {
      for (const part of [attentionNorm, attention, mlpNorm, mlp.kind === 'dense' ? mlp.ffn : mlp.moe]) part.dispose();
    }
    for (const part of [embedding_VH, finalNorm, head_HV, rope, shard]) part.dispose();
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

  private attend(layer: DecoderLayer, i: number, x_TH: Tensor2D, step: StepInputs, cache: KvCache): Tensor2D {
    return tidy(() => add(x_TH, layer.attention.forward(layer.attentionNorm.forward(x_TH), i, step, cache)));
  }

  private async feedForward(
    { mlpNorm, mlp }: DecoderLayer,
    layer: number,
    x_TH: Tensor2D | null,
    { placement, tag, signal, forcedExperts }: ForwardRequest,
    routings: Routing[],
  ): Promise<Tensor2D | null> {
    const { clock } = this.parts;
    if (mlp.kind === 'dense') {
      const y_TH = x_TH && tidy(() => add(x_TH, mlp.ffn.forward(mlpNorm.forward(x_TH))));
      clock.lap('other', { layer });
      return x_TH && replace(x_TH, y_TH!);
    }
    const normed_TH = x_TH && mlpNorm.forward(x_TH);
    clock.lap('other', { layer });
    const forced = forcedExperts?.[routings.length]; // one routing per MoE layer before this one
    try {
      const { y_TH, routing } = await mlp.moe.forward(normed_TH, placement, tag, signal, forced);
      routings.push(routing);
      if (x_TH === null || y_TH === null) return null;
      const sum_TH = add(x_TH, y_TH);
      y_TH.dispose();
      return replace(x_TH, sum_TH);
    } finally {
      normed_TH?.dispose();
    }
  }
}

function replace(old: Tensor2D, next: Tensor2D): Tensor2D {
  old.dispose();
  return next;
}

function disposeInputs(step: StepInputs | null): void {
  if (step === null) return;
  for (const part of [step.qAngles, step.kAngles, step.ones, step.masks]) part.dispose();
}
