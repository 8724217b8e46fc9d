import { expect } from 'chai';
import { createPlacement, placementFrom } from '../../../experts/placement/placement.js';
import { withSeats } from '../../../experts/placement/seats.js';
import { usedSeats } from '../../../experts/placement/used_seats.js';

const LINEAR = createPlacement('linear', { numLayers: 3, numExperts: 5, numRanks: 2 });

describe('a placement as people see it', () => {
  it('has neither seats that nobody took nor slots that nobody uses', () => {
    const seated = withSeats(LINEAR, { numSeats: 6, slotsPerRank: 5 });
    expect(usedSeats(seated, 2)).to.deep.equal(LINEAR);
  });

  it('keeps an empty seat before a taken one, and the fullest rank’s slots in every layer', () => {
    const tables = [
      [0, 1, -1, -1, -1, -1, 2, -1, -1],
      [0, -1, -1, -1, -1, -1, 2, 1, -1],
    ];
    const placement = placementFrom(
      4,
      3,
      3,
      tables.map((table) => Int32Array.from(table)),
    );
    const used = usedSeats(placement, 3);
    expect(used).to.include({ version: 4, numRanks: 3, slotsPerRank: 2 });
    expect(used.phy2log.map((table) => [...table])).to.deep.equal([
      [0, 1, -1, -1, 2, -1],
      [0, -1, -1, -1, 2, 1],
    ]);
  });

  it('is the same object where nothing is left out', () => {
    expect(usedSeats(LINEAR, 2)).to.equal(LINEAR);
  });
});
