import type { Routing } from '../../compute/base/gate_spec.js';
import type { MoeTokens } from './moe_tokens.js';

/** Own rows whose experts' outputs are wanted, ascending, and the exchanges in which all ranks fetch theirs: the same number on each. */
export interface WantedOutputs {
  readonly rows: readonly number[];
  readonly numExchanges: number;
}

/** Looks at one MoE layer of a step on one rank. Why: docs/decisions/hooks.md#one-probe-which-is-null */
export interface MoeLook {
  /** Null: no rank fetches any at this layer. */
  readonly outputs: WantedOutputs | null;
  /** The rank's tokens, which are routed. Not called without tokens. */
  routed(tokens: MoeTokens, routing: Routing): void | Promise<void>;
  /** Of {@link outputs}: [rows·K·H] unweighted; zeros for a choice that no rank computed. */
  computed(outputs: Float32Array): void;
}

/** Looks at the MoE layers of a step. */
export interface MoeLooks {
  /** Null: nobody looks at this layer. */
  moe(layer: number): MoeLook | null;
}
