/** A layer's tokens as a TensorFlow.js tensor. Shape suffixes: T tokens, H hidden. */
import { contiguous, floatRows, type FloatRows } from '../../base/float_rows.js';
import type { SharedExperts } from '../../compute/tfjs/experts/shared_experts.js';
import type { Routing } from '../../compute/base/gate_spec.js';
import type { Gate } from '../routing/gate.js';
import { checkLogits } from '../routing/select_experts.js';
import type { MoeTokens } from './moe_tokens.js';
import { mixOf, type ResidualMix } from './residual_mix.js';
import { add, mul, rowsOf, tidy, toTensor, type Tensor2D } from '../../compute/tfjs/tf.js';

/** What every rank holds of an MoE layer. */
export interface MoeTensors {
  readonly gate: Gate;
  readonly sharedExperts: SharedExperts | null;
  /** Null: nothing is mixed. */
  readonly mix: ResidualMix | null;
}

/** Tokens of one layer and step: {@link add} ends their life. */
export class TensorMoeTokens implements MoeTokens {
  private shared_TH: Tensor2D | null = null;
  private gateLogits: Promise<Float32Array> | null = null;
  private mixed: Promise<Float32Array> | null = null;

  /** `x_TH`: normed hidden states, which it disposes. `onOutput` gets what the layer made of them, [T,H], disposed when it returns. */
  constructor(
    private readonly layer: MoeTensors,
    private readonly x_TH: Tensor2D,
    private readonly onOutput: (y_TH: Tensor2D) => void,
  ) {}

  get bias_E(): Float32Array | null {
    return this.layer.gate.bias_E;
  }

  /** By the layer's gate. */
  async route(): Promise<Routing> {
    return this.layer.gate.select(await this.computedLogits());
  }

  /** With the active backend. */
  async logits(): Promise<Float32Array> {
    const logits = await this.computedLogits();
    checkLogits(logits, this.layer.gate.spec.numExperts);
    return logits.slice();
  }

  /** Read back from the tensor. */
  async rows(): Promise<FloatRows> {
    return floatRows(await rowsOf(this.x_TH), this.x_TH.shape[1]);
  }

  /** By the rows as they were read back. */
  mix(): Promise<Float32Array> | null {
    const { mix } = this.layer;
    if (mix === null) return null;
    return (this.mixed ??= this.rows().then((rows) => mixOf(mix, rows)));
  }

  /** The result stays a tensor until {@link add}. */
  async runShared(): Promise<void> {
    const mixed_T2 = await this.mix();
    const shared_TH = this.layer.sharedExperts?.forward(this.x_TH) ?? null;
    if (shared_TH === null || mixed_T2 === null) {
      this.shared_TH = shared_TH;
      return;
    }
    const share_T1 = mixed_T2.filter((_, i) => i % 2 === 1);
    this.shared_TH = tidy(() => mul(shared_TH, toTensor(share_T1, [share_T1.length, 1])));
    shared_TH.dispose();
  }

  /** An array: tensors are made of one. */
  room(): FloatRows {
    const [numTokens, hidden] = this.x_TH.shape;
    return floatRows(new Float32Array(numTokens * hidden), hidden);
  }

  /** An array of its own each time. */
  lateRoom(): FloatRows {
    return this.room();
  }

  /** Hands the sum to `onOutput`, and disposes all tensors. */
  add(y: FloatRows, late: FloatRows | null = null): void {
    const { shared_TH, x_TH } = this;
    const y_TH = tidy(() => {
      const routed_TH = toTensor(contiguous(y), x_TH.shape);
      const own_TH = shared_TH === null ? routed_TH : add(routed_TH, shared_TH);
      return late === null ? own_TH : add(own_TH, toTensor(contiguous(late), x_TH.shape));
    });
    this.onOutput(y_TH);
    y_TH.dispose();
    this.dispose();
  }

  private computedLogits(): Promise<Float32Array> {
    return (this.gateLogits ??= this.layer.gate.logits(this.x_TH));
  }

  /** Idempotent; {@link add} ends with it. */
  dispose(): void {
    this.shared_TH?.dispose();
    this.x_TH.dispose();
  }
}
