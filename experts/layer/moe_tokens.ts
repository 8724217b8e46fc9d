import type { FloatRows } from '../../base/float_rows.js';
import type { Routing } from '../../compute/base/gate_spec.js';

/** A layer's tokens on one rank, in the memory of whatever computes them: what the layer needs of them, and does to them. T tokens, H channels. */
export interface MoeTokens {
  /** The gate's choices. @throws ExpertError NOT_FINITE */
  route(): Routing | Promise<Routing>;
  /** A copy of the logits [T·E] that the gate chooses by, with the router's bias. @throws ExpertError NOT_FINITE */
  logits(): Float32Array | Promise<Float32Array>;
  /** [E] what the gate adds for the selection alone; null: nothing. */
  readonly bias_E: Float32Array | null;
  /** Normed hidden states [T, H], as they travel; they must not change until the layer is over. */
  rows(): FloatRows | Promise<FloatRows>;
  /** [T·2] what of each token is the routed experts', whose weights are multiplied with it, and what the shared ones'; null: all of both (residual_mix.ts). */
  mix(): Float32Array | null | Promise<Float32Array>;
  /** Computes the shared experts, if the layer has any; called while rows travel. */
  runShared(): void | Promise<void>;
  /** Room for y [T, H], in the memory where {@link add} reads it without a copy; valid until then. */
  room(): FloatRows;
  /** The same for what is added behind the next layer: one of two places, valid until the next one at that place. */
  lateRoom(place: 0 | 1): FloatRows;
  /**
   * Adds y [T, H], what the routed experts made of the rows, and what the shared experts did, to the hidden states, and then `late` [T, H], what those of the layer
   * before made that weighs little. Both are overwritten. Default: there is nothing of a layer before.
   */
  add(y: FloatRows, late?: FloatRows | null): void;
}
