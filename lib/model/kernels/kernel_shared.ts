/** Shared experts, with a gate of their own where the model has one, as kernels. Shape suffixes: T tokens, H hidden. */
import { ffnScratchBytes, multiplyAddsOf, type KernelExpert } from '../../../compute/wasm/experts/kernel_expert.js';
import type { GrowingBlock } from '../../../compute/wasm/memory/growing_block.js';
import type { KernelMatrix } from '../../../compute/wasm/memory/kernel_matrix.js';
import { padded } from '../../../compute/wasm/memory/resident_dtype.js';
import type { KernelStep } from './kernel_step.js';

/** Owns its weights. */
export class KernelShared {
  /** `gate`: [1, H], whose sigmoid multiplies what the network makes of a token (Qwen2-MoE). */
  constructor(
    private readonly network: KernelExpert,
    private readonly gate: KernelMatrix | null,
  ) {}

  /** What they make of normed rows x [T · padded(H)], in `block`: [T · padded(H)] at the address that it returns. @throws ExpertError OUT_OF_MEMORY, THREAD_FAILED */
  run(step: KernelStep, x: number, block: GrowingBlock): number | Promise<number> {
    const { network, gate } = this;
    const { memory, numTokens } = step;
    const { shape } = network;
    const stride = padded(shape.hidden);
    const scratch = step.scratchOf(ffnScratchBytes(shape, numTokens, memory.numThreads));
    const y = block.reserve(4 * numTokens * (stride + (gate === null ? 0 : 1)));
    const matrices = [network.gate.address, network.up.address, network.down.address] as const;
    const work = multiplyAddsOf(shape, numTokens);
    const running = memory.call('ffn', work, x, numTokens, ...matrices, scratch, y, stride);
    const gated = (): number => {
      const logits = y + 4 * numTokens * stride;
      if (gate !== null) memory.kernels.gateRows(x, numTokens, gate.address, logits, y, shape.hidden, stride);
      return y;
    };
    return running instanceof Promise ? running.then(gated) : gated();
  }

  /** Frees both. */
  dispose(): void {
    this.network.dispose();
    this.gate?.dispose();
  }
}
