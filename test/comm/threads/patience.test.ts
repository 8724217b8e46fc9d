import { expect } from 'chai';
import { Patience } from '../../../comm/threads/patience.js';

/** What the patience does in so many waits of which each look ends so. */
function looks(patience: Patience, numWaits: number, hasCome: boolean): number[] {
  return Array.from({ length: numWaits }, () => {
    const ms = patience.next();
    if (ms > 0) patience.learn(hasCome);
    return ms;
  });
}

describe('the patience of who waits', () => {
  it('is tens of microseconds, and stays as long as looking brings what is awaited', () => {
    const all = looks(new Patience(), 100, true);
    expect(new Set(all)).to.deep.equal(new Set([0.05]));
  });

  it('shrinks to nothing where looking is in vain, but for one look in 32', () => {
    const all = looks(new Patience(), 1000, false);
    for (const [i, ms] of all.slice(0, 3).entries()) expect(ms).to.equal(0.05 / 2 ** i);
    const later = all.slice(10);
    const numLooks = later.filter((ms) => ms > 0).length;
    const inAll = later.reduce((sum, ms) => sum + ms, 0);
    expect(numLooks).to.be.within(30, 100);
    expect(inAll / later.length).to.be.at.most(0.0035);
  });

  it('is whole again with the first look that brought something', () => {
    const patience = new Patience();
    looks(patience, 50, false);
    while (patience.next() === 0);
    patience.learn(true);
    expect(looks(patience, 10, true)).to.deep.equal(new Array(10).fill(0.05));
  });
});
