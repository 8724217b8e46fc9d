import type { ModelSpec } from '../spec/spec.js';
import { ofOneExpert, tensorShapesOf } from '../spec/tensor_shapes.js';
import { openWeights } from './model_weights.js';

/**
 * Whether what a model folder holds has shapes and formats that can be read: from headers, before any rank starts. Of a layer's experts, which are alike, one is asked for. A folder whose weights
 * can't be opened is left to the ranks: theirs may be others.
 * @throws WeightError SHAPE_MISMATCH, UNKNOWN_DTYPE
 */
export async function checkFolder(dir: string, spec: ModelSpec): Promise<void> {
  const weights = await openWeights(dir, spec).catch(() => null);
  if (weights === null) return;
  try {
    for (const { name } of tensorShapesOf(ofOneExpert(spec))) weights.has(name);
  } finally {
    await weights.close();
  }
}
