/** What a network does between its projections, in whole vectors. */
import { exp4 } from '../linear/math.as';

/** Kinds of `ActivationSpec`. */
export const SWIGLU: i32 = 0;
export const CLAMPED_SWIGLU: i32 = 1;

/** What a network does besides its projections. */
@unmanaged
export class FfnForm {
  /** float32 [2 · intermediate + hidden]: gate's, up's, down's; 0 = none. */
  biases: usize;
  activation: i32;
  /** Of the clamped form. */
  limit: f32;
  alpha: f32;
}

/** gate = the activation of gate and up, `count` floats each, whole vectors; form: of a {@link FfnForm}, 0: SwiGLU. */
export function activateRow(form: usize, gate: usize, up: usize, count: i32): void {
  const end = gate + ((<usize>count) << 2);
  const f = changetype<FfnForm>(form);
  if (form == 0 || f.activation == SWIGLU) swiglu(gate, up, end);
  else clampedSwiglu(gate, up, end, f.limit, f.alpha);
}

/** gate = gate / (1 + exp(−gate)) · up. */
function swiglu(gate: usize, up: usize, end: usize): void {
  const one = f32x4.splat(1);
  for (; gate < end; gate += 16, up += 16) {
    const g = v128.load(gate);
    v128.store(gate, f32x4.mul(f32x4.div(g, f32x4.add(one, exp4(f32x4.neg(g)))), v128.load(up)));
  }
}

/** With gate at most `limit` and up within ± `limit`: gate = gate / (1 + exp(−alpha · gate)) · (up + 1). */
function clampedSwiglu(gate: usize, up: usize, end: usize, limit: f32, alpha: f32): void {
  const one = f32x4.splat(1);
  const highest = f32x4.splat(limit);
  const lowest = f32x4.splat(-limit);
  const steepness = f32x4.splat(-alpha);
  for (; gate < end; gate += 16, up += 16) {
    const g = f32x4.min(v128.load(gate), highest);
    const u = f32x4.max(f32x4.min(v128.load(up), highest), lowest);
    const glu = f32x4.div(g, f32x4.add(one, exp4(f32x4.mul(steepness, g))));
    v128.store(gate, f32x4.mul(glu, f32x4.add(u, one)));
  }
}
