import { expect } from 'chai';
import fc from 'fast-check';
import { findHomes, homelessIn } from '../../../experts/placement/homes.js';
import {
  createPlacement,
  placementFrom,
  slotsOf,
  withoutRanks,
  type Placement,
} from '../../../experts/placement/placement.js';
import { withRedundancy } from '../../../experts/placement/redundancy.js';
import { withSeats } from '../../../experts/placement/seats.js';

const NO_LIMITS = new Map<number, number>();

function spread(numExperts: number, numRanks: number, numRedundant = 0): Placement {
  const base = createPlacement('linear', { numLayers: 2, numExperts, numRanks });
  const placement = withRedundancy(base, numRedundant);
  return withSeats(placement, { numSeats: numRanks, slotsPerRank: numExperts });
}

const heldBy = (placement: Placement, moeLayer: number, rank: number): number[] =>
  [...slotsOf(placement, moeLayer, rank)].filter((logical) => logical >= 0);

describe('homes for experts that nobody holds', () => {
  it('with a replica elsewhere nothing is taken over', () => {
    const current = withoutRanks(spread(4, 2, 4), [1]);
    expect(homelessIn(current)).to.deep.equal([]);
    expect(findHomes({ current, ranks: [0], rooms: NO_LIMITS })).to.deep.equal({ next: current, homeless: [] });
  });

  it('the ranks that are left take as many each, and keep what they hold where they hold it', () => {
    const current = withoutRanks(spread(8, 4), [2]);
    const { next, homeless } = findHomes({ current, ranks: [0, 1, 3], rooms: NO_LIMITS });
    expect(homeless).to.deep.equal([]);
    expect(next.version).to.equal(1);
    expect([0, 1, 2, 3].map((rank) => heldBy(next, 0, rank))).to.deep.equal([[0, 1, 4], [2, 3, 5], [], [6, 7]]);
  });

  it('what is hot goes to who carries least, and a slow rank gets less', () => {
    const current = withoutRanks(spread(6, 3), [2]);
    const load_LE = [
      [9, 9, 1, 1, 20, 1],
      [1, 1, 1, 1, 1, 1],
    ];
    const { next } = findHomes({ current, ranks: [0, 1], rooms: NO_LIMITS, load_LE });
    expect(heldBy(next, 0, 0)).to.deep.equal([0, 1, 5]);
    expect(heldBy(next, 0, 1)).to.deep.equal([2, 3, 4]);
    const slow = findHomes({ current, ranks: [0, 1], rooms: NO_LIMITS, capacities: [1, 4, 1] });
    expect(heldBy(slow.next, 0, 1)).to.deep.equal([2, 3, 4, 5]);
  });

  it('a rank whose slots are full of copies gives those up that it has twice', () => {
    // Rank 0 has four slots, and experts 0 and 1 twice each.
    const tables = [0, 1].map(() => Int32Array.from([0, 1, 1, 0, 2, 3, -1, -1]));
    const current = withoutRanks(placementFrom(0, 2, 4, tables), [1]);
    const { next, homeless } = findHomes({ current, ranks: [0], rooms: NO_LIMITS });
    expect(homeless).to.deep.equal([]);
    expect(heldBy(next, 0, 0)).to.deep.equal([0, 1, 2, 3]);
  });

  it('nobody takes more than there is room for, and what is left over is named', () => {
    const current = withoutRanks(spread(4, 2), [1]);
    const { next, homeless } = findHomes({ current, ranks: [0], rooms: new Map([[0, 3]]) });
    expect(homeless).to.deep.equal([{ moeLayer: 1, logical: 3 }]);
    expect(homelessIn(next)).to.deep.equal(homeless);
    const none = findHomes({ current, ranks: [], rooms: NO_LIMITS });
    expect(none.next).to.equal(current);
    expect(none.homeless).to.deep.equal(homelessIn(current));
  });

  it('any ranks but one may go: every expert has a home, nobody holds one twice, and without replicas nobody takes two more than another', () => {
    const shapes = fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 2, max: 6 })).chain(([experts, ranks]) =>
      fc.record({
        placement: fc.integer({ min: 0, max: experts * (ranks - 1) }).map((copies) => spread(experts, ranks, copies)),
        lost: fc.shuffledSubarray([...Array(ranks).keys()], { maxLength: ranks - 1 }),
      }),
    );
    fc.assert(
      fc.property(shapes, ({ placement, lost }) => {
        const current = withoutRanks(placement, lost);
        const ranks = [...Array(placement.numRanks).keys()].filter((rank) => !lost.includes(rank));
        const { next, homeless } = findHomes({ current, ranks, rooms: NO_LIMITS });
        expect(homeless).to.deep.equal([]);
        expect(homelessIn(next)).to.deep.equal([]);
        for (const moeLayer of [0, 1]) {
          for (const rank of lost) expect(heldBy(next, moeLayer, rank)).to.deep.equal([]);
          for (const rank of ranks) {
            const held = heldBy(next, moeLayer, rank);
            expect(new Set(held).size).to.equal(held.length);
            const before = heldBy(current, moeLayer, rank);
            expect(held).to.include.members(before);
            const fewest = Math.min(...ranks.map((other) => heldBy(next, moeLayer, other).length));
            if (placement.logcnt[moeLayer]!.every((count) => count === 1)) {
              expect(held.length).to.be.at.most(Math.max(before.length, fewest + 1));
            }
          }
        }
      }),
    );
  });
});
