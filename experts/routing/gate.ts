/**
 * The router: which experts a token goes to and with what weight.
 * Shape suffixes: T tokens, H hidden, E experts, K choices per token.
 * Why: docs/decisions/routing.md#the-gate-runs-in-float64
 */
import { checkBias, type GateSpec, type Routing } from '../../compute/base/gate_spec.js';
import { matMul, rowsOf, type Tensor2D } from '../../compute/tfjs/tf.js';
import { selectExperts } from './select_experts.js';

/** The weights of a router. */
export interface GateWeights {
  readonly gate_HE: Tensor2D;
  /** Added to the logits (gpt-oss). */
  readonly gateBias_E: Float32Array | null;
  /** Takes part in the selection and never in the weights (DeepSeek-V3's `e_score_correction_bias`). */
  readonly bias_E: Float32Array | null;
}

/** Owns the router's weights. */
export class Gate {
  /** @throws ExpertError NOT_FINITE for a bias that isn't */
  constructor(
    private readonly weights: GateWeights,
    readonly spec: GateSpec,
  ) {
    checkBias(weights.gateBias_E);
    checkBias(weights.bias_E);
  }

  /** [E] what it adds for the selection alone; null: nothing. */
  get bias_E(): Float32Array | null {
    return this.weights.bias_E;
  }

  /** [T·E] on the active backend, with the router's bias. */
  async logits(x_TH: Tensor2D): Promise<Float32Array> {
    const { gate_HE, gateBias_E } = this.weights;
    const logits_TE = matMul(x_TH, gate_HE);
    const logits = await rowsOf(logits_TE).finally(() => logits_TE.dispose());
    if (gateBias_E !== null) addToRows(logits, gateBias_E);
    return logits;
  }

  /** {@link selectExperts} of logits [T·E]. @throws ExpertError NOT_FINITE for a logit that isn't */
  select(logits: Float32Array): Routing {
    return selectExperts(logits, this.spec, this.weights.bias_E);
  }

  /** Frees the router's weights. */
  dispose(): void {
    this.weights.gate_HE.dispose();
  }
}

/** Choices [T·K] that are given, with weights that are all alike: of a token they sum to `routedScalingFactor`, as normalised ones do. */
export function forcedRouting(topkIdx: Int32Array, { numTopk, routedScalingFactor }: GateSpec): Routing {
  return { topkIdx, topkWeights: new Float32Array(topkIdx.length).fill(routedScalingFactor / numTopk) };
}

function addToRows(rows: Float32Array, vector: Float32Array): void {
  for (let i = 0; i < rows.length; i++) rows[i]! += vector[i % vector.length]!;
}
