import { expect } from 'chai';
import fc from 'fast-check';
import { createPlacement, placementFrom, slotsOf } from '../../../experts/placement/placement.js';
import { withSeats } from '../../../experts/placement/seats.js';

describe('a placement with seats for others', () => {
  it('has the same experts in the same slots of the same ranks, and nothing in further ones', () => {
    const placement = placementFrom(0, 2, 3, [Int32Array.of(0, 1, 2, -1), Int32Array.of(2, 1, 0, 1)]);
    expect(withSeats(placement, { numSeats: 3, slotsPerRank: 3 })).to.deep.equal(
      placementFrom(0, 3, 3, [
        Int32Array.of(0, 1, -1, 2, -1, -1, -1, -1, -1),
        Int32Array.of(2, 1, -1, 0, 1, -1, -1, -1, -1),
      ]),
    );
    expect(withSeats(placement, { numSeats: 2 })).to.equal(placement);
  });

  it('holds each expert as often as before, whatever its width', () => {
    const counts = fc.integer({ min: 1, max: 9 });
    fc.assert(
      fc.property(counts, counts, counts, counts, (numExperts, numRanks, seats, slots) => {
        const placement = createPlacement('round_robin', { numLayers: 2, numExperts, numRanks });
        const wide = withSeats(placement, { numSeats: numRanks + seats, slotsPerRank: placement.slotsPerRank + slots });
        expect(wide.logcnt).to.deep.equal(placement.logcnt);
        for (let rank = 0; rank < numRanks; rank++) {
          const own = slotsOf(wide, 1, rank);
          expect(own.subarray(0, placement.slotsPerRank)).to.deep.equal(slotsOf(placement, 1, rank));
          expect([...own.subarray(placement.slotsPerRank)].every((logical) => logical === -1)).to.equal(true);
        }
      }),
    );
  });
});
