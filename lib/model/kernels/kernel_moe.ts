/**
 * What every rank does of an MoE layer, as kernels: norm, gate, shared experts, residual.
 * Shape suffixes: T tokens of the step, H hidden, K choices per token.
 */
import { copyFloatRows, type FloatRows } from '../../../base/float_rows.js';
import type { Routing } from '../../../compute/base/gate_spec.js';
import { GrowingBlock } from '../../../compute/wasm/memory/growing_block.js';
import { KernelRouted, type KernelGate } from '../../../compute/wasm/router/kernel_gate.js';
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { KernelRows } from '../../../compute/wasm/memory/kernel_rows.js';
import { padded } from '../../../compute/wasm/memory/resident_dtype.js';
import { mixOf, type ResidualMix } from '../../../experts/layer/residual_mix.js';
import type { MoeTokens } from '../../../experts/layer/moe_tokens.js';
import type { KernelShared } from './kernel_shared.js';
import type { KernelStep } from './kernel_step.js';

/** Memory that the MoE layers of a model use in turn. */
export class KernelMoeBlocks {
  readonly routed: KernelRouted;
  /** [T · padded(H)]: what the shared experts made. */
  readonly shared: GrowingBlock;
  /** [T·H]: what the routed experts made. */
  readonly experts: GrowingBlock;
  /** [T·H] each: what they made that is added behind the next layer. */
  readonly late: readonly [GrowingBlock, GrowingBlock];

  constructor(memory: KernelMemory) {
    this.routed = new KernelRouted(memory);
    this.shared = new GrowingBlock(memory);
    this.experts = new GrowingBlock(memory);
    this.late = [new GrowingBlock(memory), new GrowingBlock(memory)];
  }

  /** Frees them. The layers that use them must not run afterwards. */
  dispose(): void {
    for (const part of [this.routed, this.shared, this.experts, ...this.late]) part.dispose();
  }
}

/** Owns its weights. */
export class KernelMoe {
  /** `gate` with the norm before it; `hidden`: H; `residual`: what is added to the hidden states is multiplied with it; `mix`: null: nothing is mixed. */
  constructor(
    readonly gate: KernelGate,
    readonly shared: KernelShared | null,
    readonly hidden: number,
    readonly residual: number,
    readonly mix: ResidualMix | null,
    readonly blocks: KernelMoeBlocks,
  ) {}

  /** The step's tokens at this layer. */
  begin(step: KernelStep): MoeTokens {
    return new KernelMoeTokens(this, step);
  }

  /** Frees gate and shared experts; `blocks` belong to all layers. */
  dispose(): void {
    this.gate.dispose();
    this.shared?.dispose();
  }
}

class KernelMoeTokens implements MoeTokens {
  private routing: Routing | null = null;
  /** 0 = there are none. */
  private sharedAt = 0;
  private mixed: Float32Array | null = null;

  constructor(
    private readonly moe: KernelMoe,
    private readonly step: KernelStep,
  ) {}

  get bias_E(): Float32Array | null {
    return this.moe.gate.bias_E;
  }

  /** Norm and gate are one call: rows are there when choices are. */
  route(): Routing {
    const { gate, blocks } = this.moe;
    return (this.routing ??= gate.route(this.step.x, this.step.numTokens, blocks.routed));
  }

  logits(): Float32Array {
    this.route();
    const { gate, blocks } = this.moe;
    return blocks.routed.allLogits(this.step.numTokens * gate.spec.numExperts);
  }

  rows(): FloatRows {
    this.route(); // where experts are forced, nobody asked
    const { hidden, blocks } = this.moe;
    const { memory, numTokens } = this.step;
    return new KernelRows(memory, blocks.routed.normed, numTokens, hidden, padded(hidden));
  }

  runShared(): void | Promise<void> {
    const { shared, blocks } = this.moe;
    if (shared === null) return undefined;
    const made = shared.run(this.step, blocks.routed.normed, blocks.shared);
    if (made instanceof Promise) return made.then((at) => this.made(at));
    this.made(made);
    return undefined;
  }

  mix(): Float32Array | null {
    const { mix } = this.moe;
    if (mix === null) return null;
    return (this.mixed ??= mixOf(mix, this.rows()));
  }

  /** What the shared experts made, at an address: times what of each token is theirs. */
  private made(at: number): void {
    this.sharedAt = at;
    const mixed = this.mix();
    if (mixed === null) return;
    const stride = padded(this.moe.hidden);
    const rows = this.step.memory.floats(at, this.step.numTokens * stride);
    for (let i = 0; i < rows.length; i++) rows[i]! *= mixed[2 * Math.floor(i / stride) + 1]!;
  }

  room(): KernelRows {
    return this.roomIn(this.moe.blocks.experts);
  }

  lateRoom(place: 0 | 1): KernelRows {
    return this.roomIn(this.moe.blocks.late[place]);
  }

  add(y: FloatRows, late: FloatRows | null = null): void {
    const { memory, x, numTokens } = this.step;
    const { hidden, residual } = this.moe;
    memory.kernels.addExperts(x, this.addressOf(y), this.sharedAt, numTokens, hidden, residual);
    if (late !== null) memory.kernels.addExperts(x, this.addressOf(late), 0, numTokens, hidden, residual);
  }

  private roomIn(block: GrowingBlock): KernelRows {
    const { hidden } = this.moe;
    const { memory, numTokens } = this.step;
    return new KernelRows(memory, block.reserve(4 * numTokens * hidden), numTokens, hidden);
  }

  /** In this memory, and a copy where they are in another. */
  private addressOf(y: FloatRows): number {
    const { memory } = this.step;
    if (y instanceof KernelRows && y.memory === memory && y.stride === y.hidden) return y.address;
    const room = this.room();
    copyFloatRows(y, room);
    memory.countCopy(4 * y.numRows * y.hidden);
    return room.address;
  }
}
