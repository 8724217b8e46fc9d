import { expect } from 'chai';
import { FreedLog } from '../../../../lib/head/scheduling/freed_log.js';

const keptAs = (block: number, key: string) => ({ blocks: [block], keep: [{ block, key }] });

describe('what ranks are told to forget', () => {
  it('is one message per rank, behind what their tiers do for it', () => {
    const log = new FreedLog();
    log.add(1, { blocks: [4], sequences: [9] });
    log.add(0, keptAs(2, 'b'));
    log.order(0, [
      { kind: 'demote', key: 'a' },
      { kind: 'demote', key: 'z' },
    ]);
    log.add(0, keptAs(3, 'c'));
    expect(log.take()).to.deep.equal([
      {
        ...{ rank: 0, blocks: [2, 3], sequences: [] },
        keep: [
          { block: 2, key: 'b' },
          { block: 3, key: 'c' },
        ],
        orders: [{ kind: 'demote', keys: ['a', 'z'] }],
      },
      { rank: 1, blocks: [4], sequences: [9] },
    ]);
    expect(log.take()).to.deep.equal([]);
  });

  it('is several where a tier moves what was kept just before', () => {
    const log = new FreedLog();
    log.add(0, keptAs(2, 'b'));
    log.order(0, [{ kind: 'demote', key: 'b' }]);
    log.add(0, keptAs(3, 'c'));
    expect(log.take()).to.deep.equal([
      { rank: 0, sequences: [], ...keptAs(2, 'b') },
      { rank: 0, sequences: [], ...keptAs(3, 'c'), orders: [{ kind: 'demote', keys: ['b'] }] },
    ]);
  });

  it('is several where a block is kept whose state went before, and one where both go', () => {
    const log = new FreedLog();
    log.add(0, { states: [2] });
    log.add(0, keptAs(2, 'b'));
    log.add(0, { states: [3], keep: [{ block: 3, key: 'c' }] });
    expect(log.take()).to.deep.equal([
      { rank: 0, blocks: [], sequences: [], states: [2] },
      {
        ...{ rank: 0, blocks: [2], sequences: [], states: [3] },
        keep: [
          { block: 2, key: 'b' },
          { block: 3, key: 'c' },
        ],
      },
    ]);
  });

  it('is nothing for ranks that are gone', () => {
    const log = new FreedLog();
    log.add(0, { blocks: [1] });
    log.order(1, [{ kind: 'drop', tier: 'ram', key: 'a' }]);
    log.enter(new Set([1]));
    expect(log.take()).to.deep.equal([
      { rank: 1, blocks: [], sequences: [], orders: [{ kind: 'drop', tier: 'ram', keys: ['a'] }] },
    ]);
  });
});
