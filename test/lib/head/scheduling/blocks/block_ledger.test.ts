import { expect } from 'chai';
import fc from 'fast-check';
import { BlockLedger } from '../../../../../lib/head/scheduling/blocks/block_ledger.js';
import {
  shortKeyOf,
  StoredBlocks,
  type BlockChanges,
} from '../../../../../lib/head/scheduling/blocks/stored_blocks.js';
import { RefBlockLedger } from '../../../../refs/ref_block_ledger.js';
import type { KeyedBlock } from '../../../../../lib/protocol/kv_store.js';

const BLOCK_SIZE = 2;

/** Any that are equal where all tokens are. */
const keyAt = (tokenIds: readonly number[]) => (index: number) => tokenIds.slice(0, (index + 1) * BLOCK_SIZE).join();

const numFull = (tokenIds: readonly number[]): number => Math.floor(tokenIds.length / BLOCK_SIZE);

/** What a sequence does with a rank's blocks; `index` picks among those that run. */
type Action =
  | { readonly kind: 'begin'; readonly tokenIds: readonly number[] }
  | { readonly kind: 'grow'; readonly index: number; readonly count: number }
  | { readonly kind: 'shrink'; readonly index: number; readonly count: number }
  | { readonly kind: 'seal'; readonly index: number }
  | { readonly kind: 'end'; readonly index: number };

const index = fc.nat(5);
const count = fc.nat(4);
const action: fc.Arbitrary<Action> = fc.oneof(
  // Few different tokens, so that prefixes meet.
  fc.record({ kind: fc.constant('begin' as const), tokenIds: fc.array(fc.nat(1), { maxLength: 9 }) }),
  fc.record({ kind: fc.constant('grow' as const), index, count }),
  fc.record({ kind: fc.constant('shrink' as const), index, count }),
  fc.record({ kind: fc.constant('seal' as const), index }),
  fc.record({ kind: fc.constant('end' as const), index }),
);

interface Holder {
  readonly tokenIds: readonly number[];
  readonly blocks: number[];
  readonly numShared: number;
}

/** Does it on both, and compares what they say. */
function act(ledger: BlockLedger, ref: RefBlockLedger, holders: Holder[], action: Action): void {
  if (action.kind === 'begin') {
    const { tokenIds } = action;
    const blocks = ledger.match(numFull(tokenIds), keyAt(tokenIds));
    expect(blocks).to.deep.equal(ref.match(tokenIds, BLOCK_SIZE));
    ledger.share(blocks);
    ref.hold(blocks);
    holders.push({ tokenIds, blocks, numShared: blocks.length });
    return;
  }
  if (holders.length === 0) return;
  const at = action.index % holders.length;
  const holder = holders[at]!;
  const release = (blocks: readonly number[]) => expect(ledger.release(blocks)).to.have.members(ref.release(blocks));
  if (action.kind === 'grow') {
    const numLacking = action.count - ref.numFree;
    expect(blocksOf(ledger.evict(numLacking)), 'who was not used for longest').to.deep.equal(ref.evict(numLacking));
    const taken = ledger.take(action.count);
    expect(taken === null).to.equal(action.count > ref.numFree);
    for (const block of taken ?? []) expect(ref.isFree(block), 'a block that nobody held').to.equal(true);
    ref.hold(taken ?? []);
    holder.blocks.push(...(taken ?? []));
  } else if (action.kind === 'shrink') {
    release(holder.blocks.splice(Math.max(holder.blocks.length - action.count, holder.numShared)));
  } else if (action.kind === 'seal') {
    const numSealed = Math.min(numFull(holder.tokenIds), holder.blocks.length);
    for (let i = 0; i < numSealed; i++) {
      ledger.seal(holder.blocks[i]!, keyAt(holder.tokenIds)(i));
      ref.seal(holder.blocks[i]!, holder.tokenIds.slice(0, (i + 1) * BLOCK_SIZE));
    }
  } else {
    holders.splice(at, 1);
    release(holder.blocks);
  }
}

/** Each change is one: nothing is told that is known. */
function apply(followed: Set<string>, { stored, removed }: BlockChanges): void {
  for (const key of removed) expect(followed.delete(key)).to.equal(true);
  for (const key of stored) expect(followed.size).to.equal(followed.add(key).size - 1);
}

const blocksOf = (evicted: readonly KeyedBlock[]): number[] => evicted.map(({ block }) => block);

describe('block ledger', () => {
  it('hands out the lowest ids first and null when fewer are free', () => {
    const ledger = new BlockLedger(4);
    expect(ledger.take(3)).to.deep.equal([0, 1, 2]);
    expect(ledger.take(2)).to.equal(null);
    expect(ledger.numFree).to.equal(1);
    expect(ledger.take(1)).to.deep.equal([3]);
    expect(ledger.take(0)).to.deep.equal([]);
  });

  it('release returns the blocks that nobody holds any more, and they can be taken again', () => {
    const ledger = new BlockLedger(3);
    const blocks = ledger.take(3)!;
    ledger.share([0, 1]);
    expect(ledger.release(blocks)).to.deep.equal([2]);
    expect(ledger.numFree).to.equal(1);
    expect(ledger.release([0, 1])).to.deep.equal([0, 1]);
    expect(ledger.take(3)).to.have.members([0, 1, 2]);
  });

  it('keeps what is sealed when nobody holds it, until its room is needed: least recently used first, of one sequence the deepest first', () => {
    const ledger = new BlockLedger(6);
    const first = ledger.take(2)!;
    const second = ledger.take(3)!;
    for (const [i, block] of [...first, ...second].entries()) ledger.seal(block, `key ${i}`);
    expect(ledger.release(second)).to.deep.equal([]);
    expect(ledger.release(first)).to.deep.equal([]);
    expect([ledger.numFree, ledger.numCached, ledger.numUsed]).to.deep.equal([1, 5, 0]);
    expect(ledger.take(2), 'only free ones').to.equal(null);
    expect(ledger.match(2, (i) => `key ${i}`)).to.deep.equal(first);
    ledger.share([second[0]!]);
    ledger.release([second[0]!]); // used again just now
    expect(blocksOf(ledger.evict(4))).to.deep.equal([second[2], second[1], first[1], first[0]]);
    expect(ledger.match(1, () => 'key 2')).to.deep.equal([second[0]]);
    expect(blocksOf(ledger.evict(9))).to.deep.equal([second[0]]);
    expect([ledger.numFree, ledger.numCached]).to.deep.equal([6, 0]);
  });

  it('keeps one of several equal blocks, and says which others are free', () => {
    const ledger = new BlockLedger(3);
    const [a, b, c] = ledger.take(3)!;
    for (const block of [a!, b!, c!]) ledger.seal(block, 'equal');
    expect(ledger.release([a!])).to.deep.equal([a]);
    expect(ledger.match(1, () => 'equal')).to.deep.equal([b]);
    expect(ledger.release([c!])).to.deep.equal([c]);
    expect(ledger.release([b!])).to.deep.equal([]);
    expect(ledger.numCachedOf([a!, b!, c!])).to.equal(1);
  });

  it('says what a list of every holder and every sealed token says, whatever sequences do', () => {
    let numEvicted = 0;
    fc.assert(
      fc.property(
        fc.nat(8),
        fc.array(action, { maxLength: 60, size: 'max' }),
        fc.nat(9),
        (numBlocks, actions, start) => {
          const ledger = new BlockLedger(numBlocks);
          const ref = new RefBlockLedger(numBlocks);
          const holders: Holder[] = [];
          const follower = new StoredBlocks();
          const followed = new Set<string>();
          for (const [i, each] of actions.entries()) {
            if (i === start) ledger.follow(follower);
            act(ledger, ref, holders, each);
            apply(followed, follower.take());
            const there = i < start ? [] : ref.sealedTokens.map(shortKeyOf);
            expect([...followed], 'who follows knows').to.have.members([...new Set(there)]);
            const { numFree, numCached, numUsed } = ledger;
            expect([numFree, numCached]).to.deep.equal([ref.numFree, ref.numCached]);
            expect(numFree + numCached + numUsed).to.equal(numBlocks);
            expect(ref.unreachable(BLOCK_SIZE), 'cached in vain').to.deep.equal([]);
          }
          numEvicted += ref.numEvicted;
          for (const { blocks } of holders) ledger.release(blocks);
          expect(ledger.numUsed, 'all come back').to.equal(0);
          ledger.evict(Infinity);
          expect(ledger.numFree).to.equal(numBlocks);
          expect(follower.size, 'and nothing is left').to.equal(0);
          expect(ledger.match(2, keyAt([0, 0, 0, 0])), 'and nothing is found any more').to.deep.equal([]);
        },
      ),
      { numRuns: 500 },
    );
    expect(numEvicted, 'otherwise the runs say nothing of it').to.be.above(0);
  });
});
