import { expect } from 'chai';
import { createPlacement } from '../../../experts/placement/placement.js';
import { withSeats } from '../../../experts/placement/seats.js';
import { movingLayersOf } from '../../../lib/protocol/rank_job.js';

describe('the MoE layers for which a rank begins with room to move experts', () => {
  const first = createPlacement('linear', { numLayers: 3, numExperts: 8, numRanks: 2 });
  const placement = withSeats(first, { numSeats: 4, slotsPerRank: 8 });
  const moves = { bytesPerStep: 1000, numLayers: 2 };

  it('are those that switch together where experts move for the load, and none where they stay', () => {
    expect(movingLayersOf({ ...moves, isRegular: true }, placement, 0)).to.equal(2);
    expect(movingLayersOf(null, placement, 0)).to.equal(0);
  });

  it('are none where experts move only when ranks come and go, but for who joins and is to have a share', () => {
    expect([0, 1, 2, 3].map((rank) => movingLayersOf({ ...moves, isRegular: false }, placement, rank))).to.deep.equal([
      0, 0, 2, 2,
    ]);
  });
});
