/** Random numbers of a load: each thing that is drawn has a stream of its own, so that asking for more of one leaves the others as they were. */
import { uniform } from '../../../base/philox.js';
import { MAX_COUNT } from '../../../lib/commands/base/numbers.js';

/** What is drawn. */
export const PURPOSES = [
  'arrivals',
  'input lengths',
  'output lengths',
  'bodies',
  'prefixes',
  'prefix of each',
  'blocks of a trace',
  'warm-ups',
  'think times',
  'turns',
  'behind prefixes',
] as const;

/** One of {@link PURPOSES}. */
export type Purpose = (typeof PURPOSES)[number];

/** The number of a stream; `index`: which of many alike, below {@link MAX_COUNT}. */
export const streamOf = (purpose: Purpose, index = 0): number => PURPOSES.indexOf(purpose) * MAX_COUNT + index;

/** One stream, number after number. */
export class Draws {
  private position = 0;

  constructor(
    private readonly seed: number,
    private readonly stream: number,
  ) {}

  /** Uniform in [0, 1). */
  next(): number {
    return uniform(this.seed, this.stream, this.position++);
  }

  /** A whole number from `min` to `max`, both included. */
  between(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  /** Of the standard normal distribution (Box and Muller 1958). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.next()));
    return radius * Math.cos(2 * Math.PI * this.next());
  }

  /** Of the exponential distribution with mean 1. */
  exponential(): number {
    return -Math.log(1 - this.next());
  }

  /** Of the gamma distribution with this shape and scale 1. G. Marsaglia, W. Tsang, "A simple method for generating gamma variables", 2000. */
  gamma(shape: number): number {
    if (shape < 1) return this.gamma(shape + 1) * Math.pow(1 - this.next(), 1 / shape);
    const d = shape - 1 / 3;
    const c = 1 / Math.sqrt(9 * d);
    for (;;) {
      const x = this.normal();
      const v = (1 + c * x) ** 3;
      if (v > 0 && Math.log(1 - this.next()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
    }
  }
}
