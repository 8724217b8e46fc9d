/** What routed experts are kept as, and travel as: each has a type of its own, which its three matrices share. Pure. Why: docs/decisions/memory.md#every-expert-has-a-type-of-its-own */
import type { WeightDtype } from './weight_matrix.js';

/** One type for all; or, by MoE layer, one for all of its experts or one by logical expert. */
export type ExpertDtypes = WeightDtype | readonly (WeightDtype | readonly WeightDtype[])[];

/** Of one expert. @param moeLayer its number among the MoE layers */
export function expertDtype(dtypes: ExpertDtypes, moeLayer: number, logical: number): WeightDtype {
  const ofLayer = typeof dtypes === 'string' ? dtypes : dtypes[moeLayer]!;
  return typeof ofLayer === 'string' ? ofLayer : ofLayer[logical]!;
}

/** The shortest form of [MoE layers][logical experts]: equal tables have equal forms. */
export function packedDtypes(table: readonly (readonly WeightDtype[])[]): ExpertDtypes {
  const layers = table.map((ofLayer) => common(ofLayer) ?? ofLayer);
  return common(layers.flatMap((each) => each)) ?? layers;
}

/** Every type that occurs, once, in the order of experts. */
export const dtypesIn = (dtypes: ExpertDtypes): readonly WeightDtype[] =>
  typeof dtypes === 'string' ? [dtypes] : [...new Set(dtypes.flat())];

function common([first, ...others]: readonly WeightDtype[]): WeightDtype | undefined {
  return others.every((dtype) => dtype === first) ? first : undefined;
}
