import { expect } from 'chai';
import { candidates, channelFactors } from '../../../../lib/rewrite/scaling/channel_factors.js';

const of = (values: readonly number[], share: number): number[] => [
  ...channelFactors(Float64Array.from(values), share),
];

describe('factors of channels', () => {
  it('are powers of two from 1 on, as far apart as their share of the differences', () => {
    const magnitudes = [1, 2, 4, 16, 256];
    expect(of(magnitudes, 0)).to.deep.equal([1, 1, 1, 1, 1]);
    expect(of(magnitudes, 1)).to.deep.equal([1, 2, 4, 16, 256]);
    expect(of(magnitudes, 0.5)).to.deep.equal([1, 1, 2, 4, 16]);
  });

  it('depend on differences alone', () => {
    expect(of([3, 6, 96], 1)).to.deep.equal(of([3e-8, 6e-8, 96e-8], 1));
  });

  it('of channels that are always 0 are the least, and none is more than 2¹² times another', () => {
    expect(of([0, 1, 4], 1)).to.deep.equal([1, 1, 4]);
    expect(of([0, 0], 1)).to.deep.equal([1, 1]);
    expect(of([1, 2 ** 40], 1)).to.deep.equal([1, 4096]);
  });

  it('that are tried are each another, and begin with none at all', () => {
    const all = candidates(Float64Array.from([1, 2, 8]));
    expect(all[0]).to.deep.equal({ share: 0, factors: Float32Array.of(1, 1, 1) });
    expect(all.length).to.be.within(3, 10);
    expect(new Set(all.map(({ factors }) => factors.join())).size).to.equal(all.length);
    expect(candidates(Float64Array.of(5, 5, 5))).to.have.length(1);
  });
});
