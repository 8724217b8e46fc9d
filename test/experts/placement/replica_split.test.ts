import { expect } from 'chai';
import fc from 'fast-check';
import { placementFrom } from '../../../experts/placement/placement.js';
import { splitCounts, splitLoad, sumByRank } from '../../../experts/placement/replica_split.js';
import { heldOf, lowestMaximum, lowestWholeTime } from '../../refs/placement_ref.js';

const split = (load: readonly number[], numRanks: number, table: readonly number[], capacities?: readonly number[]) => {
  const placement = placementFrom(0, numRanks, load.length, [Int32Array.from(table)]);
  return {
    placement,
    even: splitLoad(load, placement, 0, 'even'),
    balanced: splitLoad(load, placement, 0, 'balanced', capacities),
  };
};

/** How fast ranks are: some alike, some not. */
const capacitiesOf = (numRanks: number) =>
  fc.array(fc.oneof(fc.constantFrom(0.25, 0.5, 1), fc.double({ min: 0.1, max: 3, noNaN: true })), {
    minLength: numRanks,
    maxLength: numRanks,
  });

/** A load, ranks that may differ in speed, and a table in which experts may have any number of replicas, none and two on one rank included. */
const layers = fc
  .record({
    numExperts: fc.integer({ min: 1, max: 9 }),
    numRanks: fc.integer({ min: 1, max: 6 }),
    slots: fc.integer({ min: 1, max: 4 }),
  })
  .chain(({ numExperts, numRanks, slots }) =>
    fc.record({
      numRanks: fc.constant(numRanks),
      capacities: fc.oneof(fc.constant(undefined), capacitiesOf(numRanks)),
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
  it('capacities that are alike change nothing, to the bit', () => {
    fc.assert(
      fc.property(layers, fc.double({ min: 0.01, max: 100, noNaN: true }), ({ load, numRanks, table }, speed) => {
        const alike = new Array<number>(numRanks).fill(speed);
        expect(split(load, numRanks, table, alike).balanced).to.deep.equal(split(load, numRanks, table).balanced);
      }),
    );
  });

  it('in wholes: no split takes the slowest rank less time', () => {
    const counted = layers.chain(({ numRanks, table }) => {
      const numExperts = Math.max(...table) + 1;
      const counts = fc.array(fc.nat(5), { minLength: Math.max(1, numExperts), maxLength: Math.max(1, numExperts) });
      return fc.record({ counts, capacities: capacitiesOf(numRanks), table: fc.constant(table), source: fc.nat(5) });
    });
    fc.assert(
      fc.property(counted, ({ counts, capacities, table, source }) => {
        const numRanks = capacities.length;
        const placement = placementFrom(0, numRanks, counts.length, [Int32Array.from(table)]);
        const count_P = splitCounts(counts, placement, 0, source % numRanks, capacities);
        const times = [...sumByRank(count_P, placement)].map((count, rank) => count / capacities[rank]!);
        const held = heldOf(placement, 0);
        const lowest = lowestWholeTime(
          counts.map((count, e) => (held.flat().includes(e) ? count : 0)),
          held,
          capacities,
        );
        expect(Math.max(...times)).to.be.closeTo(lowest, 1e-9 * (1 + lowest));
        counts.forEach((count, e) => {
          const shares = table.flatMap((logical, p) => (logical === e ? [count_P[p]!] : []));
          expect(shares.every((share) => Number.isInteger(share) && share >= 0)).to.equal(true);
          if (shares.length > 0) expect(shares.reduce((a, b) => a + b, 0)).to.equal(count);
        });
      }),
      { numRuns: 300 },
    );
  });

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

  it('balanced: a rank at half the speed carries half', () => {
    const { balanced, placement } = split([9, 6], 3, [0, 1, 0, 1, 0, 1], [1, 0.5, 1]);
    expect([...sumByRank(balanced, placement)]).to.deep.equal([6, 3, 6]);
  });

  it('balanced: the longest time of a rank is the shortest possible, and every expert keeps its load', () => {
    fc.assert(
      fc.property(layers, ({ load, numRanks, table, capacities = new Array<number>(numRanks).fill(1) }) => {
        const { balanced, placement } = split(load, numRanks, table, capacities);
        const slotsPerRank = table.length / numRanks;
        const held = Array.from({ length: numRanks }, (_, rank) =>
          table.slice(rank * slotsPerRank, (rank + 1) * slotsPerRank),
        );
        const highest = Math.max(...sumByRank(balanced, placement).map((sum, rank) => sum / capacities[rank]!));
        const expected = lowestMaximum(load, held, capacities);
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
