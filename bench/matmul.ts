/** A yardstick for tensor work, measured in the same run. */
import { matMul, selectBackend, tidy, toTensor, type BackendChoice } from '../compute/tfjs/tf.js';

const SIZE = 512;
const REPEATS = 9;

/** GFLOP/s of one plain [512,512]·[512,512] product in one process; best of several. */
export async function plainMatmulGflops(choice: BackendChoice): Promise<number> {
  await selectBackend(choice);
  const values = Float32Array.from({ length: SIZE * SIZE }, (_, i) => (i % 7) - 3);
  const a = toTensor(values, [SIZE, SIZE]);
  const b = toTensor(values, [SIZE, SIZE]);
  let bestMs = Infinity;
  for (let i = 0; i < REPEATS; i++) {
    const startMs = performance.now();
    await tidy(() => matMul(a, b)).data();
    bestMs = Math.min(bestMs, performance.now() - startMs);
  }
  a.dispose();
  b.dispose();
  return (2 * SIZE ** 3) / (bestMs * 1e6);
}
