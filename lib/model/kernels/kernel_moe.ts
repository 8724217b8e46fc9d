/**
 * What every rank does of an MoE layer, as kernels: norm, gate, shared experts, residual.
 * Shape suffixes: T tokens of the step, H hidden, K choices per token.
 */
import type { Routing } from '../../../compute/base/gate_spec.js';
import { GrowingBlock } from '../../../compute/wasm/memory/growing_block.js';
import { ffnScratchBytes, multiplyAddsOf, type KernelExpert } from '../../../compute/wasm/experts/kernel_expert.js';
import { KernelRouted, type KernelGate } from '../../../compute/wasm/router/kernel_gate.js';
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { padded } from '../../../compute/wasm/memory/resident_dtype.js';
import type { MoeTokens } from '../../../experts/layer/moe_layer.js';
import type { KernelStep } from './kernel_step.js';

/** Memory that the MoE layers of a model use in turn. */
export class KernelMoeBlocks {
  readonly routed: KernelRouted;
  /** [T · padded(H)]: what the shared experts made. */
  readonly shared: GrowingBlock;
  /** [T·H]: what the routed experts made. */
  readonly experts: GrowingBlock;

  constructor(memory: KernelMemory) {
    this.routed = new KernelRouted(memory);
    this.shared = new GrowingBlock(memory);
    this.experts = new GrowingBlock(memory);
  }

  /** Frees all three. The layers that use them must not run afterwards. */
  dispose(): void {
    for (const part of [this.routed, this.shared, this.experts]) part.dispose();
  }
}

/** Owns its weights. */
export class KernelMoe {
  /** `gate` with the norm before it; `hidden`: H. */
  constructor(
    readonly gate: KernelGate,
    readonly shared: KernelExpert | null,
    readonly hidden: number,
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

  constructor(
    private readonly moe: KernelMoe,
    private readonly step: KernelStep,
  ) {}

  route(): Promise<Routing> {
    return promiseOf(() => this.choose());
  }

  rows(): Promise<Float32Array> {
    return promiseOf(() => this.copyRows());
  }

  async runShared(): Promise<void> {
    const { shared, blocks } = this.moe;
    if (shared === null) return;
    const { memory, numTokens } = this.step;
    const stride = padded(this.moe.hidden);
    const scratch = this.step.scratchOf(ffnScratchBytes(shared.shape, numTokens, memory.numThreads));
    this.sharedAt = blocks.shared.reserve(4 * numTokens * stride);
    const weights = [shared.gate.address, shared.up.address, shared.down.address] as const;
    const args = [blocks.routed.normed, numTokens, ...weights, scratch, this.sharedAt, stride];
    await memory.call('ffn', multiplyAddsOf(shared.shape, numTokens), ...args);
  }

  add(y: Float32Array): void {
    const { memory, x, numTokens } = this.step;
    const address = this.moe.blocks.experts.reserve(y.byteLength);
    memory.copyIn(address, y);
    memory.kernels.addExperts(x, address, this.sharedAt, numTokens, this.moe.hidden);
  }

  /** Norm and gate are one call: rows are there when choices are. */
  private choose(): Routing {
    const { gate, blocks } = this.moe;
    return (this.routing ??= gate.route(this.step.x, this.step.numTokens, blocks.routed));
  }

  private copyRows(): Float32Array {
    this.choose();
    const { hidden, blocks } = this.moe;
    const { memory, numTokens } = this.step;
    const stride = padded(hidden);
    if (stride === hidden) return memory.copyOut(blocks.routed.normed, numTokens * hidden);
    const normed = memory.floats(blocks.routed.normed, numTokens * stride);
    memory.countCopy(4 * numTokens * hidden);
    const rows = new Float32Array(numTokens * hidden);
    for (let t = 0; t < numTokens; t++) rows.set(normed.subarray(t * stride, t * stride + hidden), t * hidden);
    return rows;
  }
}

/** What a synchronous call returns or throws, as a promise. */
const promiseOf = <T>(call: () => T): Promise<T> => new Promise((resolve) => resolve(call()));
