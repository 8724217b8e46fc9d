/** From hidden states to an MoE layer's input: its normed rows, and which experts they go to. */
import { linear } from '../linear/divided.as';
import { Matrix, padded } from '../memory/memory.as';
import { applyNorm } from '../linear/norm.as';
import { route, routeBytes } from './router.as';
import { addVector, clearPadding } from '../linear/rows.as';

@unmanaged
export class RouteLayer {
  /** Address of a {@link Norm}. */
  norm: usize;
  /** [numExperts, hiddenSize] */
  gate: usize;
  /** float32 [numExperts], added to the logits; 0 = none. */
  gateBias: usize;
  /** Address of a {@link Router}. */
  router: usize;
  hiddenSize: i32;
}

/** What a routed layer leaves behind, per token of the step. */
@unmanaged
export class Routed {
  /** [numTokens · padded(hidden)], zeros in the padding. */
  normed: usize;
  /** [numTokens · numExperts] */
  logits: usize;
  /** i32 and float32 [numTokens · numTopk]. */
  topkIdx: usize;
  topkWeights: usize;
  /** At a multiple of 8. */
  scratch: usize;
  scratchBytes: usize;
}

/**
 * Returns 0; the bytes of scratch memory that it needs, and then nothing changed; or −1 − (token · numExperts + expert) for the first logit that isn't finite.
 */
export function routeLayer(layer: usize, x: usize, numTokens: i32, routed: usize): i32 {
  const l = changetype<RouteLayer>(layer);
  const to = changetype<Routed>(routed);
  const needed = routeBytes(l.router);
  if (needed > to.scratchBytes) return <i32>needed;
  const stride = padded(l.hiddenSize);
  const numExperts = changetype<Matrix>(l.gate).rows;
  applyNorm(x, numTokens, l.hiddenSize, stride, l.norm, to.normed, stride);
  clearPadding(to.normed, numTokens, l.hiddenSize, stride);
  linear(to.normed, numTokens, l.gate, to.logits, numExperts);
  if (l.gateBias != 0) addVector(to.logits, numTokens, l.gateBias, numExperts, numExperts);
  const wrong = route(to.logits, numTokens, numExperts, l.router, to.topkIdx, to.topkWeights, to.scratch);
  return wrong < 0 ? 0 : -1 - wrong;
}
