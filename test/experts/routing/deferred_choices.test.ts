import { expect } from 'chai';
import { dividedChoices } from '../../../experts/routing/deferred_choices.js';

const divided = (topkIdx: number[], topkWeights: number[], numTopk: number, numDeferred: number): number[][] => {
  const { now, later } = dividedChoices(Int32Array.from(topkIdx), Float32Array.from(topkWeights), {
    ...{ numTopk, numDeferred },
  });
  return [[...now], [...later]];
};

describe('choices that come later', () => {
  it('are those of least weight of each token, of equal ones the last', () => {
    expect(divided([5, 1, 9, 0, 3, 2], [0.2, 0.5, 0.3, 0.4, 0.4, 0.4], 3, 1)).to.deep.equal([
      [-1, 1, 9, 0, 3, -1],
      [5, -1, -1, -1, -1, 2],
    ]);
    expect(divided([5, 1, 9], [0.2, 0.5, 0.3], 3, 2)).to.deep.equal([
      [-1, 1, -1],
      [5, -1, 9],
    ]);
  });

  it('are skipped ones first, which weigh nothing', () => {
    expect(divided([5, -1, 9], [0.2, 0, 0.3], 3, 1)).to.deep.equal([
      [5, -1, 9],
      [-1, -1, -1],
    ]);
  });

  it('take all slices of an expert with them', () => {
    expect(divided([4, 5, 8, 9], [0.1, 0.9], 2, 1)).to.deep.equal([
      [-1, -1, 8, 9],
      [4, 5, -1, -1],
    ]);
  });

  it('are none where there are no tokens', () => {
    expect(divided([], [], 4, 1)).to.deep.equal([[], []]);
  });
});
