/** How many bytes of weights one token of one sequence needs: from the headers of a checkpoint. */
import { isExpertTensor, isHeadTied } from '../../lib/model/weights/rank_tensors.js';
import type { ModelSpec } from '../../lib/model/spec/spec.js';
import { EMBEDDING } from '../../lib/model/spec/tensor_names.js';
import type { ModelWeights } from '../../lib/model/stored/model_weights.js';
import type { Dtype } from './engines/engine.js';

/** Bytes of one weight of a matrix, without scales. */
const WEIGHT_BYTES: Readonly<Record<Dtype, number>> = { f32: 4, bf16: 2, int8: 1, int4: 0.5 };

/** Matrices alone, scales left out: of all experts the part that a token has, and of the embedding nothing but where it is the head too. */
export function touchedBytes(spec: ModelSpec, weights: ModelWeights, dtype: Dtype): number {
  const { numTopk, numExperts } = spec.moe.gate;
  return weights.names().reduce((sum, name) => {
    const [rows, columns] = weights.info(name).shape;
    if (columns === undefined || (name === EMBEDDING && !isHeadTied(spec, weights))) return sum;
    return sum + rows * columns * WEIGHT_BYTES[dtype] * (isExpertTensor(name) ? numTopk / numExperts : 1);
  }, 0);
}
