import { expect } from 'chai';
import { ExpertError } from '../../../compute/base/errors.js';
import { balancedness, rankLoads } from '../../../experts/placement/balance.js';
import { createPlacement } from '../../../experts/placement/placement.js';
import { syntheticLoads, type LoadPattern, type LoadShape } from '../../../experts/routing/synthetic_load.js';
import { errorOf } from '../../kit/rejects.js';

const SHAPE: LoadShape = { numLayers: 3, numExperts: 64, numChoices: 1e6, seed: 4 };

/** [windows][L][E] */
const windowsOf = (pattern: LoadPattern, count: number, shape: Partial<LoadShape> = {}): Float64Array[][] => {
  const loads = syntheticLoads(pattern, { ...SHAPE, ...shape });
  return Array.from({ length: count }, () => loads.next().value);
};

const descending = (load: Float64Array): number[] => [...load].sort((a, b) => b - a);

/** Within six standard deviations of a count. */
const expectCount = (count: number, expected: number): void => {
  expect(Math.abs(count - expected)).to.be.at.most(6 * Math.sqrt(expected) + 1);
};

/** The number of the hottest 8 experts that stay among them. */
function numStaying(one: Float64Array, other: Float64Array): number {
  const hottest = (load: Float64Array): number[] => [...load.keys()].sort((a, b) => load[b]! - load[a]!).slice(0, 8);
  return hottest(one).filter((e) => hottest(other).includes(e)).length;
}

describe('synthetic loads', () => {
  it('the same seed gives the same windows, another one others', () => {
    const pattern: LoadPattern = { kind: 'drift', alpha: 1 };
    expect(windowsOf(pattern, 3)).to.deep.equal(windowsOf(pattern, 3));
    expect(windowsOf(pattern, 1)).to.not.deep.equal(windowsOf(pattern, 1, { seed: 5 }));
  });

  it('uniform: every expert the same, but for the scatter of counts', () => {
    for (const load of windowsOf({ kind: 'uniform' }, 2).flat()) {
      for (const count of load) expectCount(count, 1e6 / 64);
      expect(new Set(load).size).to.be.above(20);
    }
  });

  it('zipf: shares ∝ (r + 1)^−alpha, of the same experts in every window, of others in each layer', () => {
    const windows = windowsOf({ kind: 'zipf', alpha: 0.8 }, 2);
    const sum = Array.from({ length: 64 }, (_, r) => (r + 1) ** -0.8).reduce((a, b) => a + b, 0);
    for (const load of windows.flat()) {
      descending(load).forEach((count, r) => {
        if (r < 8) expectCount(count, (1e6 * (r + 1) ** -0.8) / sum);
      });
    }
    expect(numStaying(windows[0]![0]!, windows[1]![0]!)).to.equal(8);
    expect(numStaying(windows[0]![0]!, windows[0]![1]!)).to.be.below(8);
  });

  it('k_hot: the hot experts share what they are given', () => {
    const [first] = windowsOf({ kind: 'k_hot', numHot: 4, hotShare: 0.5 }, 1);
    for (const load of first!) {
      descending(load).forEach((count, r) => expectCount(count, r < 4 ? 125_000 : 500_000 / 60));
    }
  });

  it('drift: always Zipf, but the owners of the shares change, the faster the less they stay', () => {
    const changes = [1, 0.99, 0.5].map((stay) => {
      const windows = windowsOf({ kind: 'drift', alpha: 1, stay }, 12);
      const sum = Array.from({ length: 64 }, (_, r) => 1 / (r + 1)).reduce((a, b) => a + b, 0);
      for (const load of windows.flat()) expectCount(descending(load)[0]!, 1e6 / sum);
      return windows.slice(1).reduce((lost, window, i) => lost + 8 - numStaying(window[0]!, windows[i]![0]!), 0);
    });
    expect(changes[0]).to.equal(0);
    expect(changes[1]).to.be.within(1, 30);
    expect(changes[2]).to.be.above(changes[1]!);
  });

  it('unbalanced: one rank has exactly skew × the mean under a linear placement', () => {
    for (const skew of [1, 1.5, 3, 8]) {
      const placement = createPlacement('linear', { numLayers: 3, numExperts: 64, numRanks: 8 });
      for (const window of windowsOf({ kind: 'unbalanced', numRanks: 8, skew }, 2)) {
        window.forEach((load, layer) => {
          const loads = rankLoads(load, placement, layer);
          expect(balancedness(loads)).to.be.closeTo(1 / skew, 1e-12);
          expect(loads.reduce((a, b) => a + b, 0)).to.be.closeTo(1e6, 1e-6);
          expect(new Set([...loads].map((each) => each.toFixed(6))).size).to.equal(skew === 1 ? 1 : 2);
        });
      }
    }
  });

  it('refuses what makes no sense, naming it', async () => {
    const wrong: [LoadPattern, Partial<LoadShape>, string][] = [
      [{ kind: 'zipf', alpha: -1 }, {}, 'alpha is -1'],
      [{ kind: 'drift', alpha: Number.NaN }, {}, 'alpha is NaN'],
      [{ kind: 'drift', alpha: 1, stay: 1.5 }, {}, 'stay is 1.5'],
      [{ kind: 'k_hot', numHot: 65, hotShare: 0.5 }, {}, 'numHot is 65'],
      [{ kind: 'k_hot', numHot: 1.5, hotShare: 0.5 }, {}, 'numHot is 1.5'],
      [{ kind: 'k_hot', numHot: 4, hotShare: 2 }, {}, 'hotShare is 2'],
      [{ kind: 'unbalanced', numRanks: 7, skew: 2 }, {}, "64 experts don't divide by 7"],
      [{ kind: 'unbalanced', numRanks: 8, skew: 9 }, {}, 'skew is 9'],
      [{ kind: 'uniform' }, { numExperts: 0 }, 'numExperts is 0'],
      [{ kind: 'uniform' }, { numLayers: 1.5 }, 'numLayers is 1.5'],
      [{ kind: 'uniform' }, { numChoices: Infinity }, 'numChoices is Infinity'],
    ];
    for (const [pattern, shape, words] of wrong) {
      const error = await errorOf(ExpertError, () => windowsOf(pattern, 1, shape));
      expect(error.code).to.equal('INVALID_ARGUMENT');
      expect(error.message).to.contain(words);
    }
  });
});
