import { expect } from 'chai';
import { noTierCounts } from '../../../../lib/head/kv/tier_counts.js';
import { TierLedger } from '../../../../lib/head/kv/tier_ledger.js';
import type { TierRoom } from '../../../../lib/head/kv/tier_shelf.js';
import { Pins } from '../../../../lib/head/scheduling/blocks/pins.js';
import { StoredBlocks } from '../../../../lib/head/scheduling/blocks/stored_blocks.js';

/** A block takes 1 byte, with its state 3. */
const roomOf = (tier: 'ram' | 'disk', maxBytes: number): TierRoom => ({
  ...{ tier, maxBytes },
  bytesOf: (hasState) => (hasState ? 3 : 1),
});

function ledgerOf(rooms: readonly TierRoom[], cached: readonly string[] = []) {
  const pins = new Pins(2);
  const counters = rooms.map(({ tier }) => noTierCounts(tier));
  const ledger = new TierLedger({ rooms, pins, counters, isCached: (key) => cached.includes(key) });
  const followed = new StoredBlocks();
  ledger.follow(followed);
  const orders = (): string[] =>
    ledger
      .takeOrders()
      .map((order) => (order.kind === 'demote' ? `demote ${order.key}` : `drop ${order.key} ${order.tier}`));
  return { ledger, pins, counters, orders, followed };
}

const BOTH = [roomOf('ram', 2), roomOf('disk', 3)];

describe('ledger of a rank’s tiers', () => {
  it('what leaves the cache goes to memory, from there to disk, and from there nowhere, least recently used first', () => {
    const { ledger, orders, followed } = ledgerOf(BOTH);
    for (const key of ['a', 'b', 'c', 'd', 'e']) expect(ledger.put(key, false)).to.equal(true);
    expect(orders()).to.deep.equal(['demote a', 'demote b', 'demote c']);
    expect(ledger.put('d', false), 'it is there: nothing is read').to.equal(false);
    ledger.put('f', false);
    expect(orders(), 'd was used since').to.deep.equal(['drop a disk', 'demote e']);
    expect(ledger.use.map(({ numBlocks, numBytes }) => [numBlocks, numBytes])).to.deep.equal([
      [2, 2],
      [3, 3],
    ]);
    expect([...followed.takeAll()].sort()).to.deep.equal(['b', 'c', 'd', 'e', 'f']);
  });

  it('what is on disk already comes into memory again, and leaves it without being written', () => {
    const { ledger, orders } = ledgerOf(BOTH);
    for (const key of ['a', 'b', 'c']) ledger.put(key, false);
    expect(orders()).to.deep.equal(['demote a']);
    expect(ledger.put('a', false)).to.equal(true);
    ledger.put('d', false);
    ledger.put('e', false);
    expect(orders()).to.deep.equal(['demote b', 'demote c', 'drop a ram']);
    expect(ledger.find('a')).to.deep.equal({ tier: 'disk', hasState: false });
  });

  it('memory gives up what was lifted, a file stays, and what is being lifted stays where it is', () => {
    const { ledger, orders, counters } = ledgerOf(BOTH, ['a', 'b']);
    for (const key of ['a', 'b', 'c']) ledger.put(key, false);
    orders();
    ledger.hold(['a', 'b', 'c']);
    expect(ledger.put('d', false), 'both of memory are held').to.equal(false);
    ledger.release(['a', 'b', 'c'], 2);
    expect(orders()).to.deep.equal(['drop b ram']);
    expect(ledger.find('a')?.tier).to.equal('disk');
    expect([ledger.find('b'), ledger.find('c')?.tier, ledger.numHeld]).to.deep.equal([null, 'ram', 0]);
    expect(counters.map(({ numLoaded, loadedBytes }) => [numLoaded, loadedBytes])).to.deep.equal([
      [1, 1],
      [1, 1],
    ]);
  });

  it('of two who lift a block at once, the first to have it leaves it to the other', () => {
    const { ledger, orders } = ledgerOf([roomOf('ram', 2)]);
    ledger.put('a', false);
    ledger.hold(['a']);
    ledger.hold(['a']);
    ledger.release(['a'], 1);
    expect(orders()).to.deep.equal([]);
    ledger.release(['a'], 1);
    expect(orders()).to.deep.equal(['drop a ram']);
  });

  it('a block that has a state now replaces one that had none, also on disk; one without never hides one that has', () => {
    const { ledger, orders } = ledgerOf([roomOf('ram', 4), roomOf('disk', 9)]);
    ledger.put('a', false);
    expect(ledger.put('a', true)).to.equal(true);
    expect(ledger.find('a')).to.deep.equal({ tier: 'ram', hasState: true });
    ledger.put('b', true);
    expect(orders()).to.deep.equal(['demote a']);
    expect(ledger.put('a', false), 'its file has more').to.equal(false);
    expect(ledger.find('a')).to.deep.equal({ tier: 'disk', hasState: true });
  });

  it('what the first tier could never hold goes nowhere', () => {
    const { ledger, orders } = ledgerOf([roomOf('ram', 2), roomOf('disk', 2)]);
    expect(ledger.put('a', true)).to.equal(false);
    expect(ledger.put('b', false)).to.equal(true);
    expect([ledger.find('a'), orders()]).to.deep.equal([null, []]);
  });

  it('what the rank says it lost is nowhere, whatever was put there since', () => {
    const { ledger, orders, counters, followed } = ledgerOf(BOTH);
    ledger.put('a', false);
    ledger.put('b', false);
    ledger.lose(['a', 'z']);
    expect(orders()).to.deep.equal(['drop a ram']);
    expect(ledger.find('a')).to.equal(null);
    expect(counters.map(({ numLost }) => numLost)).to.deep.equal([1, 0]);
    expect(followed.takeAll()).to.deep.equal(['b']);
  });

  it('takes over what is found on disk, the last ones where there isn’t room for all', () => {
    const { ledger, orders, counters } = ledgerOf(BOTH);
    ledger.admit(['a', 'b', 'c', 'd'].map((key) => ({ key, hasState: false })));
    expect(orders()).to.deep.equal(['drop a disk']);
    expect(ledger.find('d')).to.deep.equal({ tier: 'disk', hasState: false });
    expect(counters[1]!.numStored, 'nothing was written').to.equal(0);
  });

  it('pinned keys leave the last tier last, and are pinned no more when they are nowhere', () => {
    const { ledger, orders, pins } = ledgerOf([roomOf('ram', 2)]);
    ledger.put('a', false);
    ledger.put('b', false);
    pins.add(['a'], Infinity);
    ledger.put('c', false);
    expect(orders()).to.deep.equal(['drop b ram']);
    pins.add(['c'], Infinity);
    ledger.put('d', false);
    expect(orders()).to.deep.equal(['drop a ram']);
    expect([pins.has('a'), pins.has('c')]).to.deep.equal([false, true]);
  });

  it('clears all, and follows nothing of a rank that is gone', () => {
    const { ledger, orders, followed } = ledgerOf(BOTH);
    for (const key of ['a', 'b', 'c']) ledger.put(key, false);
    orders();
    ledger.clear();
    expect(orders().sort()).to.deep.equal(['drop a disk', 'drop b ram', 'drop c ram']);
    expect(followed.size).to.equal(0);
    ledger.put('d', false);
    ledger.leave();
    expect(followed.size).to.equal(0);
  });

  it('nothing is in a tier that is gone, and nothing goes there', () => {
    const { ledger, orders } = ledgerOf(BOTH);
    for (const key of ['a', 'b', 'c']) ledger.put(key, false);
    orders();
    ledger.abandon('disk');
    ledger.put('d', false);
    expect(orders()).to.deep.equal(['drop a disk', 'drop b ram']);
    expect(ledger.use.map(({ numBlocks }) => numBlocks)).to.deep.equal([2, 0]);
    const alone = ledgerOf([roomOf('disk', 3)]).ledger;
    alone.abandon('disk');
    expect(alone.put('a', false), 'nothing is read out of the cache for it').to.equal(false);
  });
});
