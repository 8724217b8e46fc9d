/** What a figure was measured on, and how repeats become one figure. Loads no TensorFlow.js. */
import { availableParallelism, cpus, totalmem } from 'node:os';
import { bytes } from '../../lib/metrics/charts.js';

/** The processor's name, its cores, the memory as text for people, and the version of Node. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memory: string;
  readonly node: string;
}

/** The machine of this process; `cores` are those that it may use. */
export const thisMachine = (): Machine => ({
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: availableParallelism(),
  memory: bytes(totalmem()),
  node: process.version,
});

/** The middle value, or the mean of the two in the middle. NaN without values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The smallest value that at least `share` of all values don't exceed (nearest rank). */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}
