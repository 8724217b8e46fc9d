import { expect } from 'chai';
import fc from 'fast-check';
import { ExpertError } from '../../../compute/base/errors.js';
import {
  createPlacement,
  placementFrom,
  PLACEMENT_STRATEGIES,
  withoutRanks,
} from '../../../experts/placement/placement.js';
import { withRedundancy } from '../../../experts/placement/redundancy.js';
import { errorOf } from '../../kit/rejects.js';
import { heldOf } from '../../refs/placement_ref.js';

const base = (strategy: (typeof PLACEMENT_STRATEGIES)[number], numExperts: number, numRanks: number) =>
  createPlacement(strategy, { numLayers: 2, numExperts, numRanks });

describe('redundant experts without a known load', () => {
  it('copies go round the experts, each to the rank after its own', () => {
    expect(heldOf(withRedundancy(base('linear', 4, 2), 2), 0)).to.deep.equal([
      [0, 1, 2],
      [2, 3, 0],
    ]);
    expect(heldOf(withRedundancy(base('round_robin', 6, 3), 3), 1)).to.deep.equal([
      [0, 3, 2],
      [1, 4, 0],
      [2, 5, 1],
    ]);
    expect(withRedundancy(base('linear', 4, 2), 0)).to.deep.equal(base('linear', 4, 2));
  });

  it('every expert gets its part of the copies, no rank holds one twice, ranks hold equally many, and nothing moves', () => {
    const cases = fc
      .record({
        strategy: fc.constantFrom(...PLACEMENT_STRATEGIES),
        numExperts: fc.integer({ min: 1, max: 24 }),
        numRanks: fc.integer({ min: 1, max: 8 }),
      })
      .chain((shape) =>
        fc.record({
          shape: fc.constant(shape),
          numRedundant: fc.integer({ min: 0, max: shape.numExperts * (shape.numRanks - 1) }),
        }),
      );
    fc.assert(
      fc.property(cases, ({ shape: { strategy, numExperts, numRanks }, numRedundant }) => {
        const before = base(strategy, numExperts, numRanks);
        const after = withRedundancy(before, numRedundant);
        const held = heldOf(after, 1);
        const old = heldOf(before, 1);
        expect(held.flat()).to.have.length(numExperts + numRedundant);
        held.forEach((experts, rank) => {
          expect(new Set(experts).size).to.equal(experts.length);
          expect(experts.slice(0, old[rank]!.length)).to.deep.equal(old[rank]);
        });
        const sizes = held.map(({ length }) => length);
        expect(Math.max(...sizes) - Math.min(...sizes)).to.be.at.most(numRedundant <= numExperts ? 1 : 3);
        const each = Math.floor(numRedundant / numExperts);
        for (const count of after.logcnt[1]!) expect(count).to.be.within(1 + each, 2 + each);
      }),
      { numRuns: 1000 },
    );
  });

  it('as many copies as experts: whichever rank is lost, every expert is left', () => {
    for (const [numExperts, numRanks] of [
      [7, 3],
      [8, 4],
      [32, 5],
      [3, 4],
    ] as const) {
      const placement = withRedundancy(base('linear', numExperts, numRanks), numExperts);
      for (let rank = 0; rank < numRanks; rank++) {
        expect(Math.min(...withoutRanks(placement, [rank]).logcnt[0]!)).to.be.at.least(1);
      }
    }
  });

  it('layers that differ get copies of their own', () => {
    const different = placementFrom(0, 2, 2, [Int32Array.of(0, 1), Int32Array.of(1, 0)]);
    const { phy2log } = withRedundancy(different, 1);
    expect(phy2log.map((table) => [...table])).to.deep.equal([
      [0, -1, 1, 0],
      [1, -1, 0, 1],
    ]);
  });

  it('refuses more copies than ranks that lack an expert, and numbers that are none', async () => {
    for (const count of [17, -1, 1.5]) {
      const error = await errorOf(ExpertError, () => withRedundancy(base('linear', 8, 3), count));
      expect(error.code).to.equal('INVALID_ARGUMENT');
      expect(error.message).to.contain(`${count} redundant experts`).and.contain('from 0 to 16');
    }
    await errorOf(ExpertError, () => withRedundancy(base('linear', 8, 1), 1));
  });
});
