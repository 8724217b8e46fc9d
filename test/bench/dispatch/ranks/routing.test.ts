import { expect } from 'chai';
import { routingOf, type RoutingShape } from '../../../../bench/dispatch/ranks/routing.js';

const SHAPE: RoutingShape = { tokens: 500, topk: 8, experts: 64, alpha: 0, seed: 7 };

/** Tokens per expert, most wanted first. */
function loads(shape: RoutingShape): number[] {
  const counts = new Array<number>(shape.experts).fill(0);
  for (const expert of routingOf(shape, 0).topkIdx) counts[expert]!++;
  return counts.sort((a, b) => b - a);
}

describe('seeded routing', () => {
  it('chooses distinct experts with weights that sum to 1', () => {
    for (const alpha of [0, 1, 3]) {
      const { topkIdx, topkWeights } = routingOf({ ...SHAPE, alpha }, 1);
      for (let from = 0; from < topkIdx.length; from += SHAPE.topk) {
        const chosen = [...topkIdx.subarray(from, from + SHAPE.topk)];
        expect(new Set(chosen).size).to.equal(SHAPE.topk);
        expect(chosen.every((expert) => expert >= 0 && expert < SHAPE.experts)).to.equal(true);
        const weights = [...topkWeights.subarray(from, from + SHAPE.topk)];
        expect(weights.reduce((sum, weight) => sum + weight)).to.be.closeTo(1, 1e-6);
        expect(Math.min(...weights)).to.be.above(0);
      }
    }
  });

  it('is the same for the same seed and rank, and another for others', () => {
    const key = (seed: number, rank: number): string => routingOf({ ...SHAPE, seed }, rank).topkIdx.join();
    expect(key(7, 0)).to.equal(key(7, 0));
    expect(key(7, 1)).not.to.equal(key(7, 0));
    expect(key(8, 0)).not.to.equal(key(7, 0));
  });

  it('every expert is chosen where all are wanted', () => {
    const { topkIdx } = routingOf({ ...SHAPE, tokens: 3, topk: 64, alpha: 1 }, 0);
    expect([...topkIdx.subarray(0, 64)].sort((a, b) => a - b)).to.deep.equal(Array.from({ length: 64 }, (_, i) => i));
  });

  it('the first choice of a token follows the Zipf law', () => {
    const shape = { ...SHAPE, tokens: 20_000, topk: 1, experts: 8, alpha: 1 };
    const harmonic = [1, 2, 3, 4, 5, 6, 7, 8].reduce((sum, rank) => sum + 1 / rank, 0);
    for (const [i, load] of loads(shape).entries()) {
      const expected = shape.tokens / (i + 1) / harmonic;
      expect(load, `expert of popularity ${i + 1}`).to.be.closeTo(expected, 5 * Math.sqrt(expected));
    }
  });

  it('uniform routing spreads evenly, Zipf does not', () => {
    const uniform = loads(SHAPE);
    expect(uniform[0]! / uniform.at(-1)!).to.be.below(2.5);
    const zipf = loads({ ...SHAPE, alpha: 1 });
    expect(zipf[0]! / zipf.at(-1)!).to.be.above(5);
  });
});
