/** What of two models can be held against each other. Pure. */
import { countsText } from '../../experts/placement/expert_counts.js';
import { expertCountsOf, moeLayersOf, type ModelSpec } from '../model/spec/spec.js';
import type { ExpertOrigins, LayerPair } from './routing_agreement.js';
import { numLensTokens, type LensChoice, type Piece } from './text_pass.js';

/** A model, as far as it matters. */
export interface ComparedModel {
  readonly spec: ModelSpec;
  readonly origins: ExpertOrigins;
}

/** What is compared, and why the rest isn't. */
export interface ComparisonPlan {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  /** Whether hidden states are compared. */
  readonly hasHidden: boolean;
  readonly lens: LensChoice | null;
  /** Layers of both; 0: they have different numbers of them. */
  readonly numLayers: number;
  /** MoE layers whose choices are compared. */
  readonly pairs: readonly LayerPair[];
  readonly origins: { readonly a: ExpertOrigins; readonly b: ExpertOrigins };
  /** MoE layers of A, and floats of a token's choices in all of them. */
  readonly numRoutedLayers: number;
  readonly routedFloats: number;
  /** What isn't compared, in whole sentences. */
  readonly notes: readonly string[];
}

/** Bounds of the lens. */
export interface LensBounds {
  /** Tokens that it is of, about; 0: there is none. */
  readonly numTokens: number;
  /** What a step may tell of one token (`limits.maxToldBytes`, the smaller one). */
  readonly maxToldBytes: number;
}

/** Both have the same vocabulary. */
export function planComparison(
  a: ComparedModel,
  b: ComparedModel,
  pieces: readonly Piece[],
  bounds: LensBounds,
): ComparisonPlan {
  const [numLayers, numOfB] = [a.spec.layers.length, b.spec.layers.length];
  const isSameDepth = numLayers === numOfB;
  const isSameWidth = a.spec.hiddenSize === b.spec.hiddenSize;
  const { pairs, note } = isSameDepth ? routingPairs(a, b) : { pairs: [], note: null };
  const widths = `A has ${a.spec.hiddenSize} channels and B ${b.spec.hiddenSize}: hidden states are not compared.`;
  return {
    vocabSize: a.spec.vocabSize,
    hiddenSize: a.spec.hiddenSize,
    hasHidden: isSameDepth && isSameWidth,
    lens: isSameDepth ? lensOf(a.spec, pieces, bounds) : null,
    numLayers: isSameDepth ? numLayers : 0,
    pairs,
    origins: { a: a.origins, b: b.origins },
    numRoutedLayers: moeLayersOf(a.spec).length,
    routedFloats: moeLayersOf(a.spec).length * a.spec.moe.gate.numTopk,
    notes: [
      ...(isSameDepth ? [] : [`A has ${numLayers} layers and B ${numOfB}: layers are not compared.`]),
      ...(isSameDepth && !isSameWidth ? [widths] : []),
      ...(note === null ? [] : [note]),
    ],
  };
}

/** Bytes on a disk of what A makes of the pieces. */
export function scratchBytes(
  { vocabSize, hiddenSize, hasHidden, lens, numLayers, routedFloats }: ComparisonPlan,
  pieces: readonly Piece[],
): number {
  const numTokens = pieces.reduce((sum, { length }) => sum + length, 0);
  const perToken = vocabSize + routedFloats + (hasHidden ? numLayers * hiddenSize : 0);
  const seen = lens === null ? 0 : numLensTokens(pieces, lens) * lens.layers.length * vocabSize;
  return 4 * (numTokens * perToken + seen);
}

/** As many layers, evenly, as a step has room for; the last one is always there. */
function lensOf(
  { layers, hiddenSize, vocabSize }: ModelSpec,
  pieces: readonly Piece[],
  bounds: LensBounds,
): LensChoice | null {
  const numTokens = pieces.reduce((sum, { length }) => sum + length, 0);
  const room = bounds.maxToldBytes - 4 * (layers.length * hiddenSize + vocabSize);
  const numFitting = Math.min(layers.length, Math.floor(room / (4 * vocabSize)));
  if (bounds.numTokens === 0 || numFitting < 1) return null;
  const stride = layers.length / numFitting;
  const chosen = Array.from({ length: numFitting }, (_, i) => layers.length - 1 - Math.floor(i * stride)).reverse();
  return { layers: chosen, share: Math.min(1, bounds.numTokens / numTokens) };
}

function routingPairs(
  a: ComparedModel,
  b: ComparedModel,
): { readonly pairs: LayerPair[]; readonly note: string | null } {
  const [ofA, ofB] = [moeLayersOf(a.spec), moeLayersOf(b.spec)];
  const both = ofA.flatMap((layer, i) => (ofB.includes(layer) ? [{ a: i, b: ofB.indexOf(layer) }] : []));
  const pairs = both.filter((pair) => isSameNumbering(a, b, pair));
  if (pairs.length === both.length) return { pairs, note: null };
  const [numA, numB] = [a, b].map(({ spec }) => countsText(expertCountsOf(spec)));
  const why = `A has ${numA} experts and B ${numB}, and no note in a config.json says which are which`;
  return { pairs, note: `${why}: choices of ${both.length - pairs.length} layers are not compared.` };
}

/** Whether experts of the same number are the same expert. */
function isSameNumbering(a: ComparedModel, b: ComparedModel, pair: LayerPair): boolean {
  const [fromA, fromB] = [a.origins?.[pair.a], b.origins?.[pair.b]];
  const [numA, numB] = [expertCountsOf(a.spec)[pair.a]!, expertCountsOf(b.spec)[pair.b]!];
  if (fromA !== undefined && fromB !== undefined) return true;
  if (fromA !== undefined) return Math.max(...fromA) < numB;
  if (fromB !== undefined) return Math.max(...fromB) < numA;
  return numA === numB;
}
