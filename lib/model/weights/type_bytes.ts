/** How many bytes weights of each type take: from the headers of a checkpoint. Pure. */
import { expertDtype } from '../../../compute/base/expert_dtypes.js';
import type { WeightDtype } from '../../../compute/base/weight_matrix.js';
import { expertOf } from '../spec/slices.js';
import { bytesOf, expertBytes, heldExperts, type FootprintOptions } from './footprint.js';
import { denseTensors } from './rank_tensors.js';
import { keptDtype } from './residence.js';

/** By type, in bytes; types that don't occur are left out. */
export type BytesOfTypes = Readonly<Partial<Record<WeightDtype, number>>>;

/** Weights as they are kept. */
export interface TypeBytes {
  readonly experts: BytesOfTypes;
  /** Vectors are float32. */
  readonly dense: BytesOfTypes;
}

/** What one rank keeps under the placement given, whether all of it is in memory or not. */
export function typeBytes(
  options: Pick<FootprintOptions, 'spec' | 'weights' | 'placement' | 'rank' | 'residence'>,
): TypeBytes {
  const { spec, weights, placement, rank, residence } = options;
  const isOfTensors = residence.compute === 'tensors';
  const experts = heldExperts(placement, rank).map(
    (held) =>
      [
        isOfTensors ? 'f32' : expertDtype(residence.experts, held.moeLayer, expertOf(spec, held.logical)),
        expertBytes(options, held),
      ] as const,
  );
  const dense = denseTensors(spec, weights).map((name) => {
    const info = weights.info(name);
    const isMatrix = info.shape.length === 2 && !isOfTensors;
    return [isMatrix ? keptDtype(weights, name, residence) : 'f32', bytesOf(info, options)] as const;
  });
  return { experts: summed(experts), dense: summed(dense) };
}

function summed(entries: readonly (readonly [WeightDtype, number])[]): BytesOfTypes {
  const sums: Partial<Record<WeightDtype, number>> = {};
  for (const [dtype, bytes] of entries) sums[dtype] = (sums[dtype] ?? 0) + bytes;
  return sums;
}
