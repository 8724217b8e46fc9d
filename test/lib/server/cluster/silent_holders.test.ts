import { expect } from 'chai';
import { SilentHolders } from '../../../../lib/server/cluster/silent_holders.js';

describe('SilentHolders', () => {
  it('are not asked for a while, which doubles each time, until they answer', () => {
    const silent = new SilentHolders();
    expect(silent.has('a', 0)).to.equal(false);
    silent.add('a', 0);
    expect([silent.has('a', 999), silent.has('a', 1000), silent.has('b', 0)]).to.deep.equal([true, false, false]);
    silent.add('a', 1000);
    expect([silent.has('a', 2999), silent.has('a', 3000)]).to.deep.equal([true, false]);
    silent.heard('a');
    silent.add('a', 4000);
    expect(silent.has('a', 5000)).to.equal(false);
    for (let i = 0; i < 20; i++) silent.add('a', 5000);
    expect([silent.has('a', 64_999), silent.has('a', 65_000)], 'a minute at most').to.deep.equal([true, false]);
  });

  it('are bounded in number', () => {
    const silent = new SilentHolders();
    for (let i = 0; i <= 256; i++) silent.add(`h${i}`, 0);
    expect([silent.has('h0', 1), silent.has('h1', 1), silent.has('h256', 1)]).to.deep.equal([false, true, true]);
  });
});
