import { randomFrom } from '../../experts/routing/random.js';
import type { FfnWeights } from '../../compute/base/ffn_weights.js';
import { matrixOf, type WeightMatrix } from '../../compute/base/weight_matrix.js';

/** Uniform in [−scale, scale). */
export function randomRows(seed: number, count: number, scale = 1): Float32Array {
  const random = randomFrom(seed);
  return Float32Array.from({ length: count }, () => (2 * random() - 1) * scale);
}

/** Small enough that activations neither vanish nor overflow. */
export const randomMatrix = (seed: number, rows: number, columns: number): WeightMatrix =>
  matrixOf(randomRows(seed, rows * columns, 0.03), rows, columns);

/** The three matrices of one expert, [intermediate, hidden] twice and [hidden, intermediate]. */
export const randomFfn = (seed: number, hidden: number, intermediate: number): FfnWeights => ({
  gate: randomMatrix(seed, intermediate, hidden),
  up: randomMatrix(seed + 1, intermediate, hidden),
  down: randomMatrix(seed + 2, hidden, intermediate),
});
