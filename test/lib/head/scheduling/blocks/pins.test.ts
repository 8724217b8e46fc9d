import { expect } from 'chai';
import { Pins } from '../../../../../lib/head/scheduling/blocks/pins.js';
import { BlockLedger } from '../../../../../lib/head/scheduling/blocks/block_ledger.js';
import type { KeyedBlock } from '../../../../../lib/protocol/kv_store.js';

/** A ledger of four blocks in which the conversations `a` and `b` left two each, `a` first. */
function leftBy(most: number, pins = new Pins(most)): BlockLedger {
  const ledger = new BlockLedger(4, pins);
  for (const name of ['a', 'b']) {
    const blocks = ledger.take(2)!;
    for (const [i, block] of blocks.entries()) ledger.seal(block, `${name}${i}`);
    ledger.release(blocks);
  }
  return ledger;
}

const findsA = (ledger: BlockLedger): number => ledger.match(2, (i) => `a${i}`).length;

const blocksOf = (evicted: readonly KeyedBlock[]): number[] => evicted.map(({ block }) => block);

describe('pins', () => {
  it('what is pinned makes room last, whoever used it when', () => {
    const ledger = leftBy(2);
    ledger.pin(['a0', 'a1'], 1000);
    expect([ledger.numCached, ledger.numPinned]).to.deep.equal([4, 2]);
    expect(blocksOf(ledger.evict(2))).to.have.members([2, 3]);
    expect(findsA(ledger)).to.equal(2);
    expect(blocksOf(ledger.evict(1)), 'the deepest first').to.deep.equal([1]);
    expect(findsA(ledger)).to.equal(1);
  });

  it('as others when its time is over, which a later turn begins anew', () => {
    const ledger = leftBy(2);
    ledger.pin(['a0', 'a1'], 1000);
    ledger.pin(['a0'], 5000);
    ledger.pin(['a0'], 2000); // a time never gets shorter
    ledger.unpin(999);
    expect(ledger.numPinned).to.equal(2);
    ledger.unpin(1000);
    expect(ledger.numPinned).to.equal(1);
    ledger.unpin(5000);
    expect([ledger.numCached, ledger.numPinned]).to.deep.equal([4, 0]);
    expect(blocksOf(ledger.evict(2)), 'what was pinned counts as used just now').to.deep.equal([3, 2]);
    expect(blocksOf(ledger.evict(2)), 'and nobody is found behind one that is gone').to.deep.equal([1, 0]);
  });

  it('no more are pinned than may be, the first of a sequence before the others; what is gone leaves its place', () => {
    const pins = new Pins(3);
    const ledger = leftBy(3, pins);
    ledger.pin(['a0', 'a1'], 1000);
    ledger.pin(['b0', 'b1'], 1000);
    expect(ledger.numPinned).to.equal(3);
    expect(blocksOf(ledger.evict(1))).to.deep.equal([3]);
    for (const { key } of ledger.evict(1)) pins.drop(key);
    expect(ledger.numPinned).to.equal(2);
    const [again] = ledger.take(1)!;
    ledger.seal(again!, 'b1');
    ledger.release([again!]);
    ledger.pin(['b1'], 1000);
    expect(ledger.numPinned).to.equal(3);
  });

  it('what is pinned while somebody holds it stays when nobody does', () => {
    const ledger = leftBy(2);
    const held = ledger.match(2, (i) => `a${i}`);
    ledger.share(held);
    ledger.pin(['a0', 'a1'], 1000);
    expect(ledger.numPinned).to.equal(0);
    ledger.release(held);
    expect(ledger.numPinned).to.equal(2);
    ledger.share(held);
    ledger.unpin(1000);
    ledger.release(held);
    expect([ledger.numCached, ledger.numPinned]).to.deep.equal([4, 0]);
  });

  it('times that end within a second are looked through together, and none lasts longer than that', () => {
    const pins = new Pins(10);
    for (const i of [0, 1, 2]) pins.add([`k${i}`], 1000 + i);
    expect(pins.expire(1000)).to.deep.equal(['k0']);
    expect(pins.expire(1500)).to.deep.equal([]);
    expect(pins.expire(2000)).to.deep.equal(['k2', 'k1']);
    pins.add(['soon'], 2100);
    expect(pins.expire(2100), 'one that comes later and ends sooner').to.deep.equal(['soon']);
    expect(pins.size).to.equal(0);
  });
});
