/** How near distributions over tokens are to others, place by place. Pure. */

/** Over places, each with the logits of a vocabulary. */
export class Agreement {
  /** Places where both have the same best token, of equal ones the first. */
  numSame = 0;
  /** The largest |other − exact| of a logit. */
  largestError = 0;
  /** Σ p · ln(p / q) of each place, in nats. */
  private readonly divergences: number[] = [];
  private squares = 0;
  private numLogits = 0;

  constructor(private readonly vocabSize: number) {}

  /** Logits [n·V] of the same places. */
  add(exact: Float32Array, other: Float32Array): void {
    this.addErrors(exact, other);
    for (let at = 0; at < exact.length; at += this.vocabSize) {
      const [p, q] = [exact, other].map((logits) => logits.subarray(at, at + this.vocabSize));
      if (bestOf(p!) === bestOf(q!)) this.numSame++;
      this.divergences.push(divergence(logProbabilities(p!), logProbabilities(q!)));
    }
  }

  /** Of the places of both. */
  with(other: Agreement): Agreement {
    const sum = new Agreement(this.vocabSize);
    for (const key of ['numSame', 'squares', 'numLogits'] as const) sum[key] = this[key] + other[key];
    for (const each of [...this.divergences, ...other.divergences]) sum.divergences.push(each);
    sum.largestError = Math.max(this.largestError, other.largestError);
    return sum;
  }

  private addErrors(exact: Float32Array, other: Float32Array): void {
    this.numLogits += exact.length;
    for (let i = 0; i < exact.length; i++) {
      const error = Math.abs(other[i]! - exact[i]!);
      this.squares += error * error;
      if (!(error <= this.largestError)) this.largestError = error; // no number is larger than any
    }
  }

  /** Places so far. */
  get numPlaces(): number {
    return this.divergences.length;
  }

  /** Root of the mean square of (other − exact) of all logits. */
  get rootMeanSquareError(): number {
    return Math.sqrt(this.squares / this.numLogits);
  }

  /** Of places. */
  get sameShare(): number {
    return this.numSame / this.numPlaces;
  }

  /** Mean of Σ p · ln(p / q), in nats: what it costs to take the other one's for the exact ones. */
  get meanDivergence(): number {
    return this.divergences.reduce((sum, each) => sum + each, 0) / this.numPlaces;
  }

  /** The divergence that such shares of places, from 0 to 1, have at most: of whole places, the nearest rank. */
  divergenceQuantiles(shares: readonly number[]): number[] {
    const sorted = Float64Array.from(this.divergences).sort();
    return shares.map((share) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!);
  }
}

function bestOf(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  return best;
}

function logProbabilities(logits: Float32Array): Float64Array {
  const highest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - highest), 0);
  return Float64Array.from(logits, (logit) => logit - highest - Math.log(sum));
}

/** A token that neither has (both logits −∞) adds nothing; one that `p` hasn't, neither. */
function divergence(p: Float64Array, q: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < p.length; i++) {
    const log = p[i]!;
    if (log !== -Infinity) sum += Math.exp(log) * (log - q[i]!);
  }
  return sum;
}
