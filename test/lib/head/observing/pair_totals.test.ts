import { expect } from 'chai';
import { PairTotals } from '../../../../lib/head/observing/pair_totals.js';

describe('totals of pairs of ranks', () => {
  it('are what ranks told last, of the first ranks', () => {
    const totals = new PairTotals();
    expect(totals.table(1)).to.deep.equal([[0]]);
    totals.add([[0, 1, 9], [2, 0, 9], undefined]);
    totals.add([[0, 3, 9], undefined, undefined]);
    expect(totals.table(2)).to.deep.equal([
      [0, 3],
      [2, 0],
    ]);
  });

  it('go on where somebody else has a seat, at both ends', () => {
    const totals = new PairTotals();
    totals.add([
      [0, 5],
      [7, 0],
    ]);
    totals.begin(1);
    totals.begin(2); // nobody was there
    totals.add([
      [0, 2], // its counter of who is at the other end began anew
      [9, 0], // and the newcomer's is already above what its predecessor's was
    ]);
    totals.add([
      [0, 3],
      [10, 0],
    ]);
    expect(totals.table(2)).to.deep.equal([
      [0, 8],
      [17, 0],
    ]);
  });
});
