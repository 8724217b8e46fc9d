import { expect } from 'chai';
import fc from 'fast-check';
import { placementFrom } from '../../../experts/placement/placement.js';
import { splitLoad, sumByRank } from '../../../experts/placement/replica_split.js';
import { lowestMaximum } from '../../refs/placement_ref.js';

const split = (load: readonly number[], numRanks: number, table: readonly number[]) => {
  const placement = placementFrom(0, numRanks, load.length, [Int32Array.from(table)]);
  return {
    placement,
    even: splitLoad(load, placement, 0, 'even'),
    balanced: splitLoad(load, placement, 0, 'balanced'),
  };
};

/** A load and a table in which experts may have any number of replicas, none and two on one rank included. */
const layers = fc
  .record({
    numExperts: fc.integer({ min: 1, max: 9 }),
    numRanks: fc.integer({ min: 1, max: 6 }),
    slots: fc.integer({ min: 1, max: 4 }),
  })
  .chain(({ numExperts, numRanks, slots }) =>
    fc.record({
      numRanks: fc.constant(numRanks),
      load: fc.array(fc.oneof(fc.nat(1000), fc.double({ min: 0, max: 1, noNaN: true })), {
        minLength: numExperts,
        maxLength: numExperts,
      }),
      table: fc.array(fc.integer({ min: -1, max: numExperts - 1 }), {
        minLength: numRanks * slots,
        maxLength: numRanks * slots,
      }),
    }),
  );

describe('replica split', () => {
  it('even: every replica of an expert carries the same', () => {
    expect([...split([30, 6], 2, [0, 1, -1, 0, 0, -1]).even]).to.deep.equal([10, 6, 0, 10, 10, 0]);
  });

  it('balanced: a replica beside a heavy expert carries less', () => {
    // Expert 0 on both ranks, experts 1 and 2 on one each.
    expect([...split([10, 8, 2], 2, [0, 1, 0, 2]).balanced]).to.deep.equal([2, 8, 8, 2]);
  });

  it('balanced: load moves along a chain of shared experts', () => {
    // Rank 0 shares with 1, 1 with 2; only rank 2 has room.
    const { balanced, placement } = split([12, 6, 0], 3, [0, -1, 0, 1, 1, 2]);
    expect([...sumByRank(balanced, placement)]).to.deep.equal([6, 6, 6]);
  });

  it('balanced: the highest rank load is the lowest possible, and every expert keeps its load', () => {
    fc.assert(
      fc.property(layers, ({ load, numRanks, table }) => {
        const { balanced, placement } = split(load, numRanks, table);
        const slotsPerRank = table.length / numRanks;
        const held = Array.from({ length: numRanks }, (_, rank) =>
          table.slice(rank * slotsPerRank, (rank + 1) * slotsPerRank),
        );
        const highest = Math.max(...sumByRank(balanced, placement));
        const expected = lowestMaximum(load, held);
        expect(highest).to.be.closeTo(expected, 1e-9 * (1 + expected));
        const tolerance = 1e-9 * (1 + Math.max(...load));
        for (const [e, weight] of load.entries()) {
          const shares = table.flatMap((logical, p) => (logical === e ? [balanced[p]!] : []));
          expect(Math.min(0, ...shares)).to.be.at.least(-tolerance);
          if (shares.length > 0) expect(shares.reduce((a, b) => a + b, 0)).to.be.closeTo(weight, tolerance);
        }
        table.forEach((logical, p) => {
          if (logical < 0) expect(balanced[p]).to.equal(0);
        });
      }),
      { numRuns: 500 },
    );
  });
});
