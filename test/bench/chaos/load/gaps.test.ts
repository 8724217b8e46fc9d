import { expect } from 'chai';
import { gapsOf, longestGap } from '../../../../bench/chaos/load/gaps.js';

describe('gaps between tokens', () => {
  const gaps = [...gapsOf([0, 10, 110]), ...gapsOf([5, 25]), ...gapsOf([7])];

  it('are between tokens of one stream alone', () => {
    expect(gaps.map(({ fromMs, toMs }) => toMs - fromMs)).to.deep.equal([10, 100, 20]);
  });

  it('count where they reach into a span, also from before or beyond it', () => {
    expect(longestGap(gaps, { fromMs: 0, toMs: 9 })).to.equal(20);
    expect(longestGap(gaps, { fromMs: 50, toMs: 60 })).to.equal(100);
    expect(longestGap(gaps, { fromMs: 200, toMs: 300 })).to.equal(null);
  });
});
