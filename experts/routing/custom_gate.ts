/** A gate that somebody else wrote: choices from the model's own logits. Shape suffixes: T tokens, E experts, K choices per token. */
import type { GateSpec, Routing } from '../../compute/base/gate_spec.js';
import { selectExperts } from './select_experts.js';

/** The tokens of one rank at one MoE layer in one step, and what the model's gate is. Only the logits are there to be written over. */
export interface GateBatch {
  /** [T·E] float32, with the router's bias; the gate may write over them. */
  readonly logits: Float32Array;
  readonly numTokens: number;
  /** How the model's own gate would choose; frozen. */
  readonly spec: GateSpec;
  /** Choices per token that this gate makes. */
  readonly numTopk: number;
  /** [E] what the model's own gate adds for the selection alone (DeepSeek-V3's `e_score_correction_bias`); null: nothing. */
  readonly bias_E: Float32Array | null;
  /** The layer's number among the MoE layers. */
  readonly moeLayer: number;
  readonly step: number;
  readonly rank: number;
  /** [T] of its sequence, from 0. */
  readonly positions: Int32Array;
}

/** Any routing: expert choice, limits of capacity, random, top-p. */
export interface CustomGate {
  /**
   * What a token's choices depend on. 'token' (default): its own logits, position and layer, so that they are the same whatever runs beside it, and the bitwise tier holds.
   * 'batch': its neighbours too, or the step, the rank or chance; then texts depend on what runs together, and no prefix is shared.
   */
  readonly dependsOn?: 'token' | 'batch';
  /** Choices per token, 1 … E, of the model's own gate. Default: as many. */
  readonly numTopk?: (spec: GateSpec) => number;
  /**
   * [T·K] logical experts, −1 = none, no expert twice for one token, and their weights, which are finite. `own`: what the model's own gate makes of the logits as they
   * are when it is called, with as many choices per token as it makes, or so many.
   */
  route(batch: GateBatch, own: (numTopk?: number) => Routing): Routing;
}

/** The gate of all layers of a rank, instead of the model's. */
export interface GateChoice {
  readonly gate: CustomGate;
  /** Of the model's own gate. */
  readonly spec: GateSpec;
  /** Choices per token of this one. */
  readonly numTopk: number;
  /** Whose tokens they are. */
  readonly rank: number;
}

/** Calls a gate with what it is given besides the layer's own values. */
export function routeBy(
  { gate, spec, numTopk, rank }: GateChoice,
  batch: Omit<GateBatch, 'spec' | 'numTopk' | 'numTokens' | 'rank'>,
): Routing {
  const { logits, bias_E } = batch;
  const numTokens = logits.length / spec.numExperts;
  return gate.route({ ...batch, numTokens, spec, numTopk, rank }, (choices = spec.numTopk) =>
    selectExperts(logits, { ...spec, numTopk: Math.min(choices, spec.numExperts) }, bias_E),
  );
}
