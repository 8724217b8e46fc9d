import { expect } from 'chai';
import fc from 'fast-check';
import { blockKeys, BlockLedger } from '../../../../lib/head/scheduling/block_ledger.js';
import { RefBlockLedger } from '../../../refs/ref_block_ledger.js';

const BLOCK_SIZE = 2;

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
    const blocks = ledger.match(blockKeys(tokenIds, BLOCK_SIZE));
    expect(blocks).to.deep.equal(ref.match(tokenIds, BLOCK_SIZE));
    ledger.share(blocks);
    ref.hold(blocks);
    holders.push({ tokenIds, blocks, numShared: blocks.length });
    return;
  }
  const holder = holders[action.index];
  if (holder === undefined) return;
  const release = (blocks: readonly number[]) => expect(ledger.release(blocks)).to.have.members(ref.release(blocks));
  if (action.kind === 'grow') {
    const taken = ledger.take(action.count);
    expect(taken === null).to.equal(action.count > ref.numFree);
    for (const block of taken ?? []) expect(ref.isFree(block), 'a block that nobody held').to.equal(true);
    ref.hold(taken ?? []);
    holder.blocks.push(...(taken ?? []));
  } else if (action.kind === 'shrink') {
    release(holder.blocks.splice(Math.max(holder.blocks.length - action.count, holder.numShared)));
  } else if (action.kind === 'seal') {
    for (const [i, key] of blockKeys(holder.tokenIds, BLOCK_SIZE).slice(0, holder.blocks.length).entries()) {
      ledger.seal(holder.blocks[i]!, key);
      ref.seal(holder.blocks[i]!, holder.tokenIds.slice(0, (i + 1) * BLOCK_SIZE));
    }
  } else {
    holders.splice(action.index, 1);
    release(holder.blocks);
  }
}

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

  it('says what a list of every holder and every sealed token says, whatever sequences do', () => {
    fc.assert(
      fc.property(fc.nat(12), fc.array(action, { maxLength: 60 }), (numBlocks, actions) => {
        const ledger = new BlockLedger(numBlocks);
        const ref = new RefBlockLedger(numBlocks);
        const holders: Holder[] = [];
        for (const each of actions) {
          act(ledger, ref, holders, each);
          expect(ledger.numFree).to.equal(ref.numFree);
        }
        for (const { blocks } of holders) ledger.release(blocks);
        expect(ledger.numFree, 'all come back').to.equal(numBlocks);
        expect(ledger.match(blockKeys([0, 0, 0, 0], BLOCK_SIZE)), 'and nothing is found any more').to.deep.equal([]);
      }),
      { numRuns: 500 },
    );
  });
});

describe('keys of blocks', () => {
  it('are equal exactly for full blocks with equal tokens from the first one on', () => {
    const keys = blockKeys([1, 2, 3, 4, 5], 2);
    expect(keys).to.have.length(2);
    expect(blockKeys([1, 2, 3, 4, 6, 7], 2).slice(0, 2)).to.deep.equal(keys);
    expect(blockKeys([3, 4], 2)[0], 'the same tokens elsewhere').not.to.equal(keys[1]);
    expect(blockKeys([1, 2, 3, 4], 4)[0], 'in larger blocks').not.to.equal(keys[1]);
    expect(blockKeys([258], 1)[0]).not.to.equal(blockKeys([2], 1)[0]);
  });
});
