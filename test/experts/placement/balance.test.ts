import { expect } from 'chai';
import fc from 'fast-check';
import { createPlacement, placementFrom } from '../../../experts/placement/placement.js';
import { balancedness, rankLoads } from '../../../experts/placement/balance.js';

describe('balance', () => {
  it('a rank carries the load of its experts', () => {
    const placement = createPlacement('linear', { numLayers: 1, numExperts: 4, numRanks: 2 });
    expect([...rankLoads([10, 20, 30, 0], placement, 0)]).to.deep.equal([30, 30]);
    const dealt = createPlacement('round_robin', { numLayers: 1, numExperts: 3, numRanks: 2 });
    expect([...rankLoads([5, 7, 1], dealt, 0)]).to.deep.equal([6, 7]);
  });

  it('replicas share the load of an expert evenly, and empty slots carry none', () => {
    // Expert 0 in three slots, two of them on rank 1.
    const placement = placementFrom(0, 2, 2, [Int32Array.of(0, 1, -1, 0, 0, -1)]);
    expect([...rankLoads([30, 6], placement, 0)]).to.deep.equal([16, 20]);
  });

  it('uses the table of the layer', () => {
    const placement = placementFrom(0, 2, 2, [Int32Array.of(0, 1), Int32Array.of(1, 0)]);
    expect([...rankLoads([3, 9], placement, 0)]).to.deep.equal([3, 9]);
    expect([...rankLoads([3, 9], placement, 1)]).to.deep.equal([9, 3]);
  });

  it('balancedness is mean over max', () => {
    expect(balancedness([4, 4, 4])).to.equal(1);
    expect(balancedness([12, 0, 0])).to.be.closeTo(1 / 3, 1e-15);
    expect(balancedness([30, 10])).to.be.closeTo(20 / 30, 1e-15);
    expect(balancedness(Float64Array.of(1, 2, 3, 6))).to.equal(0.5);
    expect(balancedness([0, 0])).to.equal(1);
  });

  it('rank loads sum to the layer load, and balancedness lies between 1/ranks and 1', () => {
    const loads = fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 6, maxLength: 6 });
    fc.assert(
      fc.property(loads, fc.integer({ min: 1, max: 8 }), (load_E, numRanks) => {
        const placement = createPlacement('linear', { numLayers: 1, numExperts: 6, numRanks });
        const ranks = rankLoads(load_E, placement, 0);
        expect(ranks.reduce((a, b) => a + b, 0)).to.equal(load_E.reduce((a, b) => a + b, 0));
        expect(balancedness(ranks)).to.be.within(1 / numRanks - 1e-12, 1 + 1e-12);
      }),
    );
  });
});
