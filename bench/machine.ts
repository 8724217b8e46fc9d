/** What a figure was measured on, and a yardstick measured in the same run. */
import { availableParallelism, cpus, totalmem } from 'node:os';
import { matMul, selectBackend, tidy, toTensor, type BackendChoice } from '../experts/tf.js';
import { bytes } from '../lib/metrics/charts.js';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memory: string;
  readonly node: string;
}

export const thisMachine = (): Machine => ({
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: availableParallelism(),
  memory: bytes(totalmem()),
  node: process.version,
});

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

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
