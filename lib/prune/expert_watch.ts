/**
 * What experts did for the tokens of a text, told by hooks. Shape suffixes: L MoE layers, E experts, K choices per token.
 * Why: docs/decisions/pruning.md#what-an-expert-is-worth
 */
import type { Hook, HookEvent } from '../protocol/hook.js';

/** What is looked at. Default: choices alone. */
export interface Watched {
  /** What experts made of tokens, for {@link ExpertTally.saliency_LE}. */
  readonly outputs?: boolean;
  /** Router logits of all experts, for {@link ExpertTally.products_LEE}. */
  readonly logits?: boolean;
}

/** Sums over tokens. */
export interface ExpertTally {
  /** Tokens that chose the expert. */
  readonly counts_LE: readonly Float64Array[];
  /** Σ weight · ‖what the expert made of the token‖₂ over those tokens. Zeros where outputs aren't watched. */
  readonly saliency_LE: readonly Float64Array[];
  /** Σ of products of two experts' router logits over all tokens, [E·E]; empty where logits aren't watched. */
  readonly products_LEE: readonly Float64Array[];
}

/** Of a text that nobody has read yet. `layers`: those with experts, as the model numbers them. */
export function emptyTally(layers: readonly number[], numExperts: number, { logits = false }: Watched): ExpertTally {
  const perLayer = (length: number): Float64Array[] => layers.map(() => new Float64Array(length));
  return {
    counts_LE: perLayer(numExperts),
    saliency_LE: perLayer(numExperts),
    products_LEE: logits ? perLayer(numExperts ** 2) : [],
  };
}

/** Adds what another part of the text came to. */
export function addTally(sum: ExpertTally, other: ExpertTally): void {
  for (const table of ['counts_LE', 'saliency_LE', 'products_LEE'] as const) {
    sum[table].forEach((row, l) => other[table][l]!.forEach((value, i) => (row[i]! += value)));
  }
}

/** A hook that adds what it is told to a tally. */
export function tallyingHook(
  tally: ExpertTally,
  layers: readonly number[],
  { outputs = false, logits = false }: Watched,
): Hook {
  let weights_K: Float32Array = new Float32Array(0); // of the token and layer that the next event is of
  const onEvent = (event: HookEvent): void => {
    const moeLayer = layers.indexOf(event.layer);
    switch (event.point) {
      case 'routerLogits':
        return addProducts(tally.products_LEE[moeLayer]!, event.values);
      case 'routing':
        weights_K = event.weights;
        for (const expert of event.experts) if (expert >= 0) tally.counts_LE[moeLayer]![expert]!++;
        return;
      case 'expertOutputs':
        return addSaliency(tally.saliency_LE[moeLayer]!, event.experts, weights_K, event.values);
      case 'hiddenBefore':
      case 'hiddenAfter':
      case 'lensLogits':
      case 'moeInput':
      case 'routerScores':
    }
  };
  const ofAll = 'all' as const;
  const points = { routing: ofAll, ...(outputs && { expertOutputs: ofAll }), ...(logits && { routerLogits: ofAll }) };
  return { points, onEvent };
}

/** Expert by expert: how often it was chosen, and the mean of weight · norm over the tokens that chose it (Lasby et al. 2025), 0 where none did. */
export const reapScores = ({ counts_LE, saliency_LE }: ExpertTally): Float64Array[] =>
  saliency_LE.map((sums_E, l) => sums_E.map((sum, e) => (counts_LE[l]![e] === 0 ? 0 : sum / counts_LE[l]![e]!)));

function addSaliency(
  sums_E: Float64Array,
  experts: Int32Array,
  weights_K: Float32Array,
  outputs_KH: Float32Array,
): void {
  const hidden = outputs_KH.length / experts.length;
  experts.forEach((expert, k) => {
    if (expert < 0) return;
    let squares = 0;
    for (let i = k * hidden; i < (k + 1) * hidden; i++) squares += outputs_KH[i]! ** 2;
    sums_E[expert]! += Math.abs(weights_K[k]!) * Math.sqrt(squares);
  });
}

/** The lower triangle is the upper one's mirror image, and stays empty. */
function addProducts(sums_EE: Float64Array, logits_E: Float32Array): void {
  const numExperts = logits_E.length;
  for (let a = 0; a < numExperts; a++) {
    const value = logits_E[a]!;
    for (let b = a; b < numExperts; b++) sums_EE[a * numExperts + b]! += value * logits_E[b]!;
  }
}
