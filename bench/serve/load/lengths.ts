/** How long prompts and answers are. Pure. */
import { Draws, streamOf, type Purpose } from './streams.js';

/** Whole numbers from ⌊mean · (1 − ratio)⌋ to ⌈mean · (1 + ratio)⌉, at least 1: vLLM's `--random-range-ratio`. */
export function drawnLengths(count: number, mean: number, ratio: number, seed: number, purpose: Purpose): number[] {
  const draws = new Draws(seed, streamOf(purpose));
  const [min, max] = [Math.max(1, Math.floor(mean * (1 - ratio))), Math.ceil(mean * (1 + ratio))];
  return Array.from({ length: count }, () => draws.between(min, max));
}
