/** When requests arrive: vLLM's `get_request`, as a list of times. Pure. */
import { Draws, streamOf } from './streams.js';

/** How requests come. */
export interface ArrivalOptions {
  /** Requests per second; Infinity: all at once. */
  readonly requestRate: number;
  /** Shape of the gamma distribution of the gaps: 1 = Poisson, below 1 in bursts, above 1 more evenly, Infinity: equal gaps. */
  readonly burstiness: number;
  readonly seed: number;
}

/**
 * Milliseconds from the start, ascending. As in vLLM the times are stretched so that the last one is at count / rate: then all seeds offer the same load.
 */
export function arrivalTimes(count: number, { requestRate, burstiness, seed }: ArrivalOptions): number[] {
  if (requestRate === Infinity) return new Array<number>(count).fill(0);
  const draws = new Draws(seed, streamOf('arrivals'));
  const times: number[] = [];
  let sum = 0;
  for (let i = 0; i < count; i++) times.push((sum += burstiness === Infinity ? 1 : draws.gamma(burstiness)));
  return times.map((time) => (time / sum) * (count / requestRate) * 1000);
}
