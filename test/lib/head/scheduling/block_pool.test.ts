import { expect } from 'chai';
import fc from 'fast-check';
import { BlockPool } from '../../../../lib/head/scheduling/block_pool.js';

describe('block pool', () => {
  it('hands out the lowest ids first and null when fewer are free', () => {
    const pool = new BlockPool(4);
    expect(pool.take(3)).to.deep.equal([0, 1, 2]);
    expect(pool.take(2)).to.equal(null);
    expect(pool.numFree).to.equal(1);
    expect(pool.take(1)).to.deep.equal([3]);
    expect(pool.take(0)).to.deep.equal([]);
  });

  it('an id is never held twice, and all come back', () => {
    fc.assert(
      fc.property(fc.nat(12), fc.array(fc.tuple(fc.boolean(), fc.nat(6))), (numBlocks, actions) => {
        const pool = new BlockPool(numBlocks);
        const held: number[][] = [];
        for (const [isTake, size] of actions) {
          const numFree = pool.numFree;
          const ids = isTake ? pool.take(size) : null;
          if (isTake) expect(ids === null).to.equal(size > numFree);
          if (ids !== null) held.push(ids);
          if (!isTake) pool.give(held.shift() ?? []);
          const all = held.flat();
          expect(new Set(all).size).to.equal(all.length);
          expect(all.every((id) => id >= 0 && id < numBlocks)).to.equal(true);
          expect(pool.numFree).to.equal(numBlocks - all.length);
        }
      }),
    );
  });
});
