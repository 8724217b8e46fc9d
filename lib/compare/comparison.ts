/** What a comparison came to. Pure. */
import { moeLayersOf, type ModelSpec } from '../model/spec/spec.js';
import type { Agreement } from './agreement.js';
import type { ComparisonPlan } from './comparison_plan.js';
import type { LayerAgreement } from './layer_agreement.js';
import type { RoutingAgreement } from './routing_agreement.js';
import type { TextReading } from './text_pass.js';

/** One of the two. */
export interface ComparedSide {
  /** As the caller calls it, with what it was changed by. */
  readonly name: string;
  readonly reading: TextReading;
  /** Of the files with its weights. */
  readonly checkpointBytes: number;
  /** Weights and keys and values that all ranks hold at the end. */
  readonly residentBytes: number;
}

/** How far distributions of B are from those of A at the same places. */
export interface Divergence {
  /** Mean over places of Σ p · ln(p / q), p of A, q of B, in nats. */
  readonly kl: number;
  /** Places where both have the same most likely token / places. */
  readonly top1Agreement: number;
  /** Largest |logit of B − that of A|, and the root of the mean square. */
  readonly maxLogitError: number;
  readonly rmsLogitError: number;
}

/** Behind one layer; null: not compared. */
export interface ComparedLayer {
  readonly layer: number;
  /** √(Σ (b − a)² / Σ a²) of the hidden states. */
  readonly hiddenError: number | null;
  /** What final norm and head make of them. */
  readonly lens: Divergence | null;
  /** Choices of A that B makes too / those of A. */
  readonly routingAgreement: number | null;
}

/** Of a whole text. */
export interface ComparisonResult extends Divergence {
  readonly a: ComparedSide;
  readonly b: ComparedSide;
  readonly numPlaces: number;
  /** Divergences of places, by the share of them that have at most so much: {@link QUANTILES}. */
  readonly klQuantiles: readonly number[];
  /** Over all MoE layers; null: not compared. */
  readonly routingAgreement: number | null;
  readonly layers: readonly ComparedLayer[];
  /** What isn't compared, in whole sentences. */
  readonly notes: readonly string[];
}

/** Of {@link ComparisonResult.klQuantiles}: every hundredth, from the lowest to the highest. */
export const QUANTILES = Array.from({ length: 101 }, (_, i) => i / 100);

/** What was summed up while both read. */
interface Sums {
  readonly agreement: Agreement;
  readonly layers: readonly LayerAgreement[];
  readonly routing: RoutingAgreement;
}

/** @param spec of A */
export function comparisonOf(
  [a, b]: readonly [ComparedSide, ComparedSide],
  { agreement, layers, routing }: Sums,
  { hasHidden, pairs, notes }: ComparisonPlan,
  spec: ModelSpec,
): ComparisonResult {
  const moeLayers = moeLayersOf(spec);
  const shares = new Map(pairs.map(({ a: own }, i) => [moeLayers[own]!, routing.shares[i]!]));
  return {
    ...{ a, b, ...divergenceOf(agreement), numPlaces: agreement.numPlaces },
    klQuantiles: agreement.divergenceQuantiles(QUANTILES),
    routingAgreement: routing.share,
    layers: layers.map(({ hiddenError, lens }, layer) => ({
      layer,
      hiddenError: hasHidden ? hiddenError : null,
      lens: lens.numPlaces === 0 ? null : divergenceOf(lens),
      routingAgreement: shares.get(layer) ?? null,
    })),
    notes,
  };
}

/** Of all places so far. */
export const divergenceOf = (agreement: Agreement): Divergence => ({
  kl: agreement.meanDivergence,
  top1Agreement: agreement.sameShare,
  maxLogitError: agreement.largestError,
  rmsLogitError: agreement.rootMeanSquareError,
});
