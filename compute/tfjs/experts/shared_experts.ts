/** Shared experts, with a gate of their own where the model has one, as tensors. Shape suffixes: T tokens, H hidden. */
import { matMul, mul, sigmoid, tidy, type Tensor2D } from '../tf.js';
import type { Ffn } from './ffn.js';

/** Owns its weights. */
export class SharedExperts {
  /** The sigmoid of x · `gate_H1` multiplies what the network makes of a token (Qwen2-MoE). */
  constructor(
    private readonly network: Ffn,
    private readonly gate_H1: Tensor2D | null,
  ) {}

  /** [T,H] → [T,H], which the caller disposes. */
  forward(x_TH: Tensor2D): Tensor2D {
    const { network, gate_H1 } = this;
    if (gate_H1 === null) return network.forward(x_TH);
    return tidy(() => mul(network.forward(x_TH), sigmoid(matMul(x_TH, gate_H1))));
  }

  /** Frees all tensors. */
  dispose(): void {
    this.network.dispose();
    this.gate_H1?.dispose();
  }
}
