/** A decoder-only transformer with dense and MoE layers: the layers' order, nothing about a family or about what computes them. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Routing } from '../../compute/base/gate_spec.js';
import { NO_KERNELS, type KernelMemories, type KernelStats } from '../../compute/wasm/memory/kernel_memories.js';
import type { MoeLooks } from '../../experts/layer/moe_look.js';
import { LateSums } from '../../experts/layer/late_sums.js';
import type { MoeLayer, MoeStep } from '../../experts/layer/moe_layer.js';
import type { TierStats } from '../../experts/tiers/tier_counts.js';
import type { TieredExperts } from '../../experts/tiers/tiered_experts.js';
import type { ExpertShard } from '../../experts/layer/shard.js';
import type { Stopwatch } from '../../compute/base/stopwatch.js';
import type { Decoder, HiddenStates, KvCache, StepTokens } from './decoder/decoder.js';
import type { ModelSpec } from './spec/spec.js';

/** What a model on one rank is made of; the transformer owns it. */
export interface TransformerParts {
  readonly spec: ModelSpec;
  readonly decoder: Decoder;
  /** By layer; null where it is dense. */
  readonly moeLayers: readonly (MoeLayer | null)[];
  /** The routed experts of this rank, all layers; layers use it through their MoeLayer. */
  readonly shard: ExpertShard;
  readonly clock: Stopwatch;
  /** Null where TensorFlow.js computes. */
  readonly memories: KernelMemories | null;
  /** What runs the experts, where not all of them are resident. Default null: they are. */
  readonly tiers?: TieredExperts | null;
  /** Someone else's gate chooses: it asks where tokens are. Default false. */
  readonly hasCustomGate?: boolean;
}

/** Looks at a step on one rank. Why: docs/decisions/hooks.md#one-probe-which-is-null */
export interface StepLooks extends MoeLooks {
  /** The hidden states before layer `place`; behind the last one where it is their number. Not called without tokens. */
  hidden(place: number, states: HiddenStates): void | Promise<void>;
}

/** One step of one rank; without tokens it still serves its experts. */
export interface ForwardRequest extends StepTokens, MoeStep {
  /** Default null: nobody looks. */
  readonly looks?: StepLooks | null;
  /** Called when the keys and values of the step's tokens of a layer are in the cache. Not called without tokens. Default: nobody wants to know. */
  readonly attended?: ((layer: number) => void) | undefined;
  /** Per MoE layer [T·K]: experts that tokens go to instead of the gate's choice, for experiments. */
  readonly forcedExperts?: readonly Int32Array[] | undefined;
}

/** What the layers made of a step. */
export interface ForwardResult {
  /** Behind the last layer; null without tokens. The caller disposes them. */
  readonly states: HiddenStates | null;
  /** One per MoE layer. */
  readonly routings: readonly Routing[];
}

/** One rank's model, which has its way to the other ranks. */
export class Transformer {
  constructor(private readonly parts: TransformerParts) {}

  /** The model that it runs. */
  get spec(): ModelSpec {
    return this.parts.spec;
  }

  /** The routed experts of this rank, all layers. */
  get shard(): ExpertShard {
    return this.parts.shard;
  }

  /** The keys and values of the sequences that this rank owns. */
  get cache(): KvCache {
    return this.parts.decoder.cache;
  }

  /** What the kernels hold and did. */
  kernelStats(): KernelStats {
    return this.parts.memories?.stats() ?? NO_KERNELS;
  }

  /** What tiers of experts hold and did; null: all experts are resident. */
  tierStats(): TierStats | null {
    return this.parts.tiers?.stats() ?? null;
  }

  /** Rejects where a step computed with experts whose files were written since they were opened. */
  async settle(): Promise<void> {
    await this.parts.tiers?.settle();
  }

  /** All layers over the step's tokens. Every rank calls it for every step, with zero tokens too. */
  async forward(request: ForwardRequest): Promise<ForwardResult> {
    const { decoder, moeLayers, clock, hasCustomGate = false } = this.parts;
    const positions = hasCustomGate ? { positions: positionsOf(request) } : {};
    const step = { ...request, ...positions, late: new LateSums() };
    const states = request.tokenIds.length > 0 ? decoder.begin(request) : null;
    const looks = (states && request.looks) ?? null;
    const routings: Routing[] = [];
    let turnedMs = performance.now();
    clock.lap('other');
    try {
      for (const [layer, moe] of moeLayers.entries()) {
        const place = { layer };
        if (looks !== null) {
          await looks.hidden(layer, states!);
          clock.lap('other', place);
        }
        const attending = states?.attend(layer);
        if (attending !== undefined) await attending;
        if (states !== null) request.attended?.(layer);
        clock.lap('attention', place);
        if (moe === null) {
          await states?.feedForward(layer);
          clock.lap('other', place);
        } else {
          const tokens = states?.moe(layer) ?? null;
          routings.push(await moe.forward(tokens, step, request.forcedExperts?.[routings.length]));
        }
        if (performance.now() - turnedMs < TURN_AFTER_MS) continue;
        await turn();
        turnedMs = performance.now();
      }
      if (looks !== null) await looks.hidden(moeLayers.length, states!);
      return { states, routings };
    } catch (error) {
      states?.dispose();
      throw error;
    }
  }

  /** Frees the dense part and the experts of this rank. */
  dispose(): void {
    this.parts.decoder.dispose();
    this.parts.shard.dispose();
  }
}

/** [T] */
function positionsOf({ tokenIds, parts }: StepTokens): Int32Array {
  const positions = new Int32Array(tokenIds.length);
  for (const { rowStart, numTokens, position } of parts) {
    for (let i = 0; i < numTokens; i++) positions[rowStart + i] = position + i;
  }
  return positions;
}

/** Time that layers may compute before sockets and signals get their turn, which takes as long as a small layer. */
const TURN_AFTER_MS = 2;
