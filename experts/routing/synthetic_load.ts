/** Seeded loads of experts, for studies and benchmarks of planners. Shape suffixes: L layers, E experts. */
import { ExpertError } from '../../compute/base/errors.js';
import { countsOf, type ExpertCounts } from '../placement/expert_counts.js';
import { normalFrom, permutation, randomFrom } from './random.js';

/** How popular experts are. Which expert has which popularity is drawn per layer. */
export type LoadPattern =
  | { readonly kind: 'uniform' }
  /** The expert of popularity rank r gets a share ∝ (r + 1)^−alpha. */
  | { readonly kind: 'zipf'; readonly alpha: number }
  /** `numHot` experts share `hotShare` of the load evenly, the others the rest. */
  | { readonly kind: 'k_hot'; readonly numHot: number; readonly hotShare: number }
  /**
   * Zipf shares whose owners change: an expert's popularity is a normal number that keeps the correlation `stay` (default 0.99) from one window to the
   * next, and the order of these numbers is the popularity rank.
   */
  | { readonly kind: 'drift'; readonly alpha: number; readonly stay?: number }
  /**
   * To the digit, without noise: under a linear placement on `numRanks` ranks with one replica each, one rank, drawn per layer, carries `skew` × the mean,
   * the others the same rest. Experts must divide by the ranks, and 1 ≤ skew ≤ ranks.
   */
  | { readonly kind: 'unbalanced'; readonly numRanks: number; readonly skew: number };

/** The size of the windows of a load, and the seed of what is drawn. */
export interface LoadShape {
  readonly numLayers: number;
  readonly numExperts: ExpertCounts;
  /** Choices (tokens × K) per window and layer. Default 524288. */
  readonly numChoices?: number;
  /** Default 0. */
  readonly seed?: number;
}

const DEFAULT_CHOICES = 8 * 65_536;

/**
 * One window [L][E] after the other, without end; the same arguments give the same windows. Counts of a window scatter around their expectation like
 * those of independent tokens (normal approximation, rounded).
 * @throws ExpertError INVALID_ARGUMENT
 */
export function* syntheticLoads(pattern: LoadPattern, shape: LoadShape): Generator<Float64Array[], never, undefined> {
  const { numLayers, numExperts, numChoices = DEFAULT_CHOICES, seed = 0 } = shape;
  for (const count of checkedCounts(shape)) check(pattern, count);
  const random = randomFrom(seed);
  const normal = normalFrom(random);
  const layers = countsOf(numExperts, numLayers).map((count) => expectationOf(pattern, count, random, normal));
  for (;;) {
    yield layers.map((next) => {
      const expected = next().map((share) => share * numChoices);
      return pattern.kind === 'unbalanced' ? expected : expected.map((count) => scattered(count, normal));
    });
  }
}

const scattered = (expected: number, normal: () => number): number =>
  Math.max(0, Math.round(expected + Math.sqrt(expected) * normal()));

/** A function that gives each next window's shares [E] of one layer; they sum to 1. */
function expectationOf(
  pattern: LoadPattern,
  numExperts: number,
  random: () => number,
  normal: () => number,
): () => Float64Array {
  const order = permutation(numExperts, random);
  switch (pattern.kind) {
    case 'uniform':
      return () => new Float64Array(numExperts).fill(1 / numExperts);
    case 'zipf': {
      const shares = dealt(zipf(pattern.alpha, numExperts), order);
      return () => shares;
    }
    case 'k_hot': {
      const shares = dealt(hotShares(pattern, numExperts), order);
      return () => shares;
    }
    case 'drift':
      return drifting(pattern, numExperts, normal);
    case 'unbalanced': {
      const shares = unbalancedShares(pattern, numExperts, Math.floor(random() * pattern.numRanks));
      return () => shares;
    }
  }
}

function zipf(alpha: number, numExperts: number): Float64Array {
  const shares = Float64Array.from({ length: numExperts }, (_, r) => (r + 1) ** -alpha);
  const sum = shares.reduce((a, b) => a + b, 0);
  return shares.map((share) => share / sum);
}

function hotShares(
  { numHot, hotShare }: { readonly numHot: number; readonly hotShare: number },
  numExperts: number,
): Float64Array {
  const rest = numHot === numExperts ? 0 : (1 - hotShare) / (numExperts - numHot);
  return Float64Array.from({ length: numExperts }, (_, r) => (r < numHot ? hotShare / numHot : rest));
}

function unbalancedShares(
  { numRanks, skew }: { readonly numRanks: number; readonly skew: number },
  numExperts: number,
  hotRank: number,
): Float64Array {
  const perRank = numExperts / numRanks;
  const rest = numRanks === 1 ? 0 : (numRanks - skew) / (numRanks - 1);
  return Float64Array.from(
    { length: numExperts },
    (_, e) => (Math.floor(e / perRank) === hotRank ? skew : rest) / numExperts,
  );
}

function drifting(
  { alpha, stay = 0.99 }: { readonly alpha: number; readonly stay?: number },
  numExperts: number,
  normal: () => number,
): () => Float64Array {
  const shares = zipf(alpha, numExperts);
  const popularity = Float64Array.from({ length: numExperts }, normal);
  return () => {
    const order = Int32Array.from({ length: numExperts }, (_, e) => e).sort((a, b) => popularity[b]! - popularity[a]!);
    const window = dealt(shares, order);
    for (let e = 0; e < numExperts; e++) {
      popularity[e] = stay * popularity[e]! + Math.sqrt(1 - stay * stay) * normal();
    }
    return window;
  };
}

/** Shares by popularity rank → shares by expert. */
function dealt(shares: Float64Array, order: Int32Array): Float64Array {
  const byExpert = new Float64Array(shares.length);
  order.forEach((expert, popularityRank) => (byExpert[expert] = shares[popularityRank]!));
  return byExpert;
}

/** The numbers of experts that layers have, each once. */
function checkedCounts({ numLayers, numExperts, numChoices = 1 }: LoadShape): ReadonlySet<number> {
  const whole = (name: string, value: number): void => {
    if (!Number.isSafeInteger(value) || value < 1) throw invalid(`${name} is ${value}; give a whole number from 1`);
  };
  whole('numLayers', numLayers);
  const counts = new Set(countsOf(numExperts, numLayers));
  for (const count of counts) whole('numExperts', count);
  if (!(numChoices >= 0 && numChoices < Infinity)) throw invalid(`numChoices is ${numChoices}; give a number from 0`);
  return counts;
}

function check(pattern: LoadPattern, numExperts: number): void {
  switch (pattern.kind) {
    case 'uniform':
      return;
    case 'zipf':
      return within('alpha', pattern.alpha, 0, 100);
    case 'drift':
      within('alpha', pattern.alpha, 0, 100);
      return within('stay', pattern.stay ?? 0, 0, 1);
    case 'k_hot':
      if (!Number.isSafeInteger(pattern.numHot)) throw invalid(`numHot is ${pattern.numHot}; give a whole number`);
      within('numHot', pattern.numHot, 1, numExperts);
      return within('hotShare', pattern.hotShare, 0, 1);
    case 'unbalanced':
      within('numRanks', pattern.numRanks, 1, numExperts);
      if (numExperts % pattern.numRanks !== 0) {
        throw invalid(`${numExperts} experts don't divide by ${pattern.numRanks} ranks; give numbers that do`);
      }
      return within('skew', pattern.skew, 1, pattern.numRanks);
  }
}

function within(name: string, value: number, min: number, max: number): void {
  if (!(value >= min && value <= max)) throw invalid(`${name} is ${value}; give a number from ${min} to ${max}`);
}

const invalid = (message: string): ExpertError => new ExpertError('INVALID_ARGUMENT', message);
