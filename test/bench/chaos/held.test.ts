import { expect } from 'chai';
import { heldOf, isWhole, movedBetween } from '../../../bench/chaos/held.js';
import { placementFrom } from '../../../experts/placement/placement.js';

const placement = (...tables: readonly (readonly number[])[]) =>
  placementFrom(
    0,
    2,
    3,
    tables.map((slots) => Int32Array.from(slots)),
  );

describe('what ranks hold', () => {
  it('counts experts without a home and replicas, of all layers', () => {
    expect(heldOf(placement([0, 1, 2, 0], [0, 1, 1, -1]))).to.deep.equal({
      numHomeless: 1,
      numReplicas: 7,
      numExperts: 6,
    });
  });

  it('is whole when each expert has a home and there are as many replicas as at first', () => {
    const first = { numHomeless: 0, numReplicas: 8, numExperts: 6 };
    const two = { numExperts: 6, members: [0, 3] };
    expect(isWhole({ ...two, numHomeless: 0, numReplicas: 9 }, first)).to.equal(true);
    expect(isWhole({ ...two, numHomeless: 0, numReplicas: 7 }, first)).to.equal(false);
    expect(isWhole({ ...two, numHomeless: 1, numReplicas: 9 }, first)).to.equal(false);
    expect(isWhole({ ...two, members: [1], numHomeless: 0, numReplicas: 6 }, first), 'one rank').to.equal(true);
  });

  it('moved are experts that a rank got, whatever their slot', () => {
    const before = placement([0, 1, 2, -1]);
    expect(movedBetween(before, placement([1, 0, -1, 2]))).to.equal(0);
    expect(movedBetween(before, placement([0, 1, 2, 1]))).to.equal(1);
    expect(movedBetween(before, placement([2, -1, 0, 1]))).to.equal(3);
  });
});
