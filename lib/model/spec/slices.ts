/**
 * Experts that are sliced: each is divided along its intermediate width into as many networks, so that more ranks than experts have something to compute. What
 * ranks hold, placements place and dispatch reaches are slices: slice s of expert e has the number e · S + s. Gates, hooks and recordings know whole experts.
 * Pure. Why: docs/decisions/placement.md#a-slice-is-an-expert
 */
import { isDivisible } from './slice_width.js';
import { expertCountsOf, type ModelSpec } from './spec.js';

/** Slices that an expert is divided into; 1: it is whole. */
export const numSlicesOf = ({ moe }: Pick<ModelSpec, 'moe'>): number => moe.slices ?? 1;

/** The same model with experts of so many slices. */
export const withSlices = (spec: ModelSpec, slices: number): ModelSpec =>
  slices === numSlicesOf(spec) ? spec : { ...spec, moe: { ...spec.moe, slices } };

/** The expert that a slice is of. */
export const expertOf = (spec: Pick<ModelSpec, 'moe'>, held: number): number => Math.floor(held / numSlicesOf(spec));

/** [L] slices in each MoE layer. */
export const heldCountsOf = (spec: ModelSpec): number[] =>
  expertCountsOf(spec).map((count) => count * numSlicesOf(spec));

/** The most slices in a layer. */
export const numHeldOf = (spec: ModelSpec): number => spec.moe.gate.numExperts * numSlicesOf(spec);

/** Slices that a token goes to, K · S. */
export const heldTopkOf = (spec: ModelSpec): number => spec.moe.gate.numTopk * numSlicesOf(spec);

/** The fewest slices with which no rank is without one; where experts can't be divided so often, as many as they can. */
export function slicesFor(spec: ModelSpec, numRanks: number): number {
  const { intermediateSize, gate } = spec.moe;
  const fewest = Math.min(gate.numExperts, ...expertCountsOf(spec));
  const wanted = Math.ceil(numRanks / fewest);
  const possible = (from: number, step: 1 | -1): number | undefined => {
    for (let slices = from; slices >= 1 && slices <= intermediateSize; slices += step) {
      if (isDivisible(intermediateSize, slices)) return slices;
    }
    return undefined;
  };
  return possible(wanted, 1) ?? possible(Math.min(wanted, intermediateSize), -1) ?? 1;
}
