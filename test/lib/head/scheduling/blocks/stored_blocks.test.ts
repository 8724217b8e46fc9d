import { expect } from 'chai';
import { BlockHasher, BlockKeys } from '../../../../../lib/head/scheduling/blocks/block_keys.js';
import { Scheduler, type SequenceRequest } from '../../../../../lib/head/scheduling/scheduler.js';
import { shortKeyOf, StoredBlocks } from '../../../../../lib/head/scheduling/blocks/stored_blocks.js';
import { OPTIONS, request, stepOf } from '../../../../kit/engine/scheduling.js';

const { blockSize, sharing } = OPTIONS;

/** Of the first full blocks of a prompt. */
function keysOf({ promptTokenIds }: SequenceRequest, numBlocks: number): string[] {
  const keys = new BlockKeys(new BlockHasher(blockSize, sharing!), { promptTokenIds, outputTokenIds: [] });
  return Array.from({ length: numBlocks }, (_, i) => shortKeyOf(keys.at(i)));
}

describe('stored blocks', () => {
  it('what comes and goes between two looks is told to nobody', () => {
    const stored = new StoredBlocks();
    stored.add('a');
    stored.add('b');
    stored.remove('a');
    expect(stored.take()).to.deep.equal({ stored: ['b'], removed: [] });
    stored.remove('b');
    stored.add('b');
    expect(stored.take()).to.deep.equal({ stored: [], removed: [] });
    stored.remove('b');
    expect(stored.take()).to.deep.equal({ stored: [], removed: ['b'] });
  });

  it('a block is there from the first rank that has it to the last', () => {
    const stored = new StoredBlocks();
    stored.add('block');
    stored.add('block');
    expect(stored.take()).to.deep.equal({ stored: ['block'], removed: [] });
    stored.remove('block');
    expect([stored.take(), stored.size]).to.deep.equal([{ stored: [], removed: [] }, 1]);
    stored.remove('block');
    expect([stored.take(), stored.size]).to.deep.equal([{ stored: [], removed: ['block'] }, 0]);
  });

  it('a scheduler tells who follows it late of all that is there, then of what is computed and what makes room', () => {
    const scheduler = new Scheduler({ ...OPTIONS, numKvBlocks: 4 });
    const [first, second] = [request(0, 9, 1), request(1, 16, 1)];
    scheduler.add(first);
    stepOf(scheduler);
    const blocks = scheduler.storedBlocks!;
    expect(blocks.take(), 'its last block is not full').to.deep.equal({ stored: keysOf(first, 2), removed: [] });
    scheduler.finish(0);
    expect(blocks.take(), 'cached').to.deep.equal({ stored: [], removed: [] });
    scheduler.add(second);
    stepOf(scheduler);
    const { stored, removed } = blocks.take();
    expect(stored).to.deep.equal(keysOf(second, 4));
    expect(removed).to.have.members(keysOf(first, 2));
    scheduler.finish(1);
    scheduler.resetPrefixCache();
    expect(blocks.take().removed).to.have.members(keysOf(second, 4));
    expect(scheduler.storedBlocks, 'one').to.equal(blocks);
  });

  it('what a lost rank had alone is gone, and who takes its seat is followed', () => {
    const scheduler = new Scheduler({ ...OPTIONS, numRanks: 2 });
    const blocks = scheduler.storedBlocks!;
    const both = [request(0, 9, 9), request(1, 9, 9)];
    for (const each of both) scheduler.add(each);
    stepOf(scheduler);
    expect(blocks.take().stored).to.have.members(both.flatMap((each) => keysOf(each, 2)));
    const epochOf = (epoch: number, ...ranks: number[]) => {
      const present = new Set(ranks);
      return { epoch, present, takers: present, leaving: new Set<number>(), hasAbandoned: false };
    };
    scheduler.enter(epochOf(1, 0));
    expect(blocks.take().removed).to.have.lengthOf(2);
    scheduler.enter(epochOf(2, 0, 1));
    stepOf(scheduler);
    expect(blocks.take().stored, 'computed anew').to.have.lengthOf(2);
  });

  it('where nothing is shared there is nothing to follow', () => {
    expect(new Scheduler({ ...OPTIONS, sharing: null }).storedBlocks).to.equal(null);
  });
});
