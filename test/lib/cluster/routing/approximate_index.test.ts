import { expect } from 'chai';
import fc from 'fast-check';
import { ApproximateIndex } from '../../../../lib/cluster/routing/approximate_index.js';

const listed = (...keys: readonly string[]) => ({ numBlocks: keys.length, at: (index: number) => keys[index]! });

describe('ApproximateIndex', () => {
  it('counts what was sent for as long as it may, from the last time on', () => {
    const index = new ApproximateIndex({ ttlMs: 100, maxBlocks: 9 });
    index.add('i', listed('a', 'b', 'c'), 0);
    index.add('i', listed('a', 'x'), 50);
    expect(index.numMatching('i', listed('a', 'b', 'c'), 99)).to.equal(3);
    expect(index.numMatching('i', listed('a', 'b', 'c'), 100)).to.equal(1);
    expect(index.numMatching('j', listed('a'), 0)).to.equal(0);
    index.add('j', listed('y'), 120);
    expect(index.size, 'b and c are forgotten').to.equal(3);
    index.remove('i');
    expect([index.size, index.numMatching('i', listed('a'), 120)]).to.deep.equal([1, 0]);
  });

  it('forgets what was sent longest ago, the deepest blocks first, where it is full', () => {
    const index = new ApproximateIndex({ ttlMs: 100, maxBlocks: 4 });
    index.add('i', listed('a', 'b', 'c'), 0);
    index.add('j', listed('a', 'b'), 1);
    expect(index.numMatching('i', listed('a', 'b', 'c'), 2)).to.equal(2);
    index.add('j', listed('p', 'q', 'r', 's', 't', 'u'), 3);
    expect(index.size).to.equal(4);
    expect(index.numMatching('j', listed('p', 'q', 'r', 's', 't'), 4)).to.equal(4);
  });

  it('never holds more than it may, nor what is over when something comes', () => {
    const sent = fc.record({ to: fc.constantFrom('i', 'j'), keys: fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f')), waitMs: fc.nat(60) }); // prettier-ignore
    const property = fc.property(fc.array(sent), (all) => {
      const index = new ApproximateIndex({ ttlMs: 100, maxBlocks: 5 });
      const last = new Map<string, number>();
      let nowMs = 0;
      for (const { to, keys, waitMs } of all) {
        nowMs += waitMs;
        index.add(to, listed(...keys), nowMs);
        for (const key of keys) last.set(to + key, nowMs);
        const numAlive = [...last.values()].filter((atMs) => atMs + 100 > nowMs).length;
        expect(index.size).to.be.at.most(Math.min(numAlive, 5));
        for (const key of 'abcdef') {
          if (index.numMatching(to, listed(key), nowMs) === 1) expect(nowMs - last.get(to + key)!).to.be.below(100);
        }
      }
    });
    fc.assert(property, { numRuns: 200 });
  });
});
