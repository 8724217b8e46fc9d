import { expect } from 'chai';
import { Scheduler } from '../../../../lib/head/scheduling/scheduler.js';
import { FollowedScheduler } from '../../../kit/engine/followed_scheduler.js';
import { OPTIONS, request, shapesOf, stepOf } from '../../../kit/engine/scheduling.js';

/** Prompts of one family begin alike. */
const alike = { family: 9 };

describe('shared prefixes', () => {
  /** A sequence with a computed prompt of 11 tokens: two full blocks. */
  const withFirst = (options = OPTIONS): Scheduler => {
    const scheduler = new Scheduler(options);
    scheduler.add(request(0, 11, 9, alike));
    stepOf(scheduler);
    return scheduler;
  };

  it('a sequence begins with the full blocks of an equal prompt that runs on the same rank', () => {
    const scheduler = withFirst();
    scheduler.add(request(1, 14, 2, alike));
    const [plan] = stepOf(scheduler);
    const { promptTokenIds } = request(1, 14, 2, alike);
    expect(plan!.begin[0]).to.deep.include({ sequence: 1, blocks: [0, 1], tokenIds: promptTokenIds.slice(0, 8) });
    expect(shapesOf(plan!).at(-1)).to.deep.equal([1, 8, 6, false]);
    expect(plan!.parts.at(-1)).to.deep.include({ blocks: [3, 4], sample: true, nextPromptToken: null });
    expect(scheduler.counts.numSharedTokens).to.equal(8);
    expect(scheduler.numFreeBlocks).to.equal(OPTIONS.numKvBlocks - 5);
  });

  it('the last prompt token is always computed', () => {
    const scheduler = withFirst();
    scheduler.add(request(1, 8, 2, alike));
    expect(shapesOf(stepOf(scheduler)[0]!).at(-1)).to.deep.equal([1, 4, 4, false]);
  });

  it('full blocks stay when nobody holds them any more, and ranks forget the others', () => {
    const scheduler = withFirst();
    scheduler.add(request(1, 14, 2, alike));
    stepOf(scheduler);
    scheduler.finish(0);
    expect(scheduler.takeFreed(), 'its third block is full too').to.deep.equal([
      { rank: 0, blocks: [], sequences: [0] },
    ]);
    scheduler.add(request(2, 9, 2, alike));
    expect(stepOf(scheduler)[0]!.begin[0]!.blocks, 'also from who shares them').to.deep.equal([0, 1]);
    scheduler.finish(1);
    scheduler.finish(2);
    expect(scheduler.takeFreed()).to.deep.equal([{ rank: 0, blocks: [4, 5], sequences: [1, 2] }]);
    expect(scheduler.load.ranks[0]).to.include({ numUsedBlocks: 0, numCachedBlocks: 4 });
    scheduler.add(request(3, 13, 2, alike));
    expect(stepOf(scheduler)[0]!.begin[0]!.blocks, 'the third is of the second sequence').to.deep.equal([0, 1, 3]);
    expect(scheduler.counts).to.include({ numPrefixQueries: 11 + 14 + 9 + 13, numPrefixHits: 8 + 8 + 12 });
  });

  it('cached blocks make room, those that nobody used for longest first, and ranks hear of it before the plan', () => {
    const scheduler = new Scheduler({ ...OPTIONS, numKvBlocks: 6 });
    for (const [sequence, family] of [8, 9].entries()) {
      scheduler.add(request(sequence, 8, 1, { family }));
      stepOf(scheduler);
      scheduler.finish(sequence);
    }
    scheduler.takeFreed();
    expect(scheduler.load.ranks[0]).to.include({ numUsedBlocks: 0, numCachedBlocks: 4 });
    scheduler.add(request(2, 9, 1, { family: 7 }));
    const [plan] = stepOf(scheduler);
    expect(scheduler.takeFreed(), 'the end of the first one').to.deep.equal([{ rank: 0, blocks: [1], sequences: [] }]);
    expect(plan!.parts[0]!.blocks).to.include(1);
    expect(scheduler.counts.numEvictedBlocks).to.equal(1);
    scheduler.finish(2);
    scheduler.add(request(3, 9, 1, { family: 8 }));
    expect(stepOf(scheduler)[0]!.begin[0]!.tokenIds, 'its beginning').to.have.length(4);
  });

  it('reset has ranks forget what is cached, but nothing while sequences hold blocks', () => {
    const scheduler = withFirst();
    expect(scheduler.resetPrefixCache()).to.equal(false);
    expect(scheduler.takeFreed()).to.deep.equal([]);
    scheduler.finish(0);
    scheduler.takeFreed();
    expect(scheduler.resetPrefixCache()).to.equal(true);
    expect(scheduler.takeFreed()).to.deep.equal([{ rank: 0, blocks: [1, 0], sequences: [] }]);
    expect(scheduler.load.ranks[0]).to.include({ numUsedBlocks: 0, numCachedBlocks: 0 });
    expect(scheduler.counts.numEvictedBlocks, 'only for want of room').to.equal(0);
    scheduler.add(request(1, 11, 2, alike));
    expect(stepOf(scheduler)[0]!.begin[0]!.blocks).to.deep.equal([]);
  });

  it('only committed tokens are shared, and only on their own rank', () => {
    const scheduler = new Scheduler({ ...OPTIONS, numRanks: 2 });
    for (const sequence of [0, 1, 2]) scheduler.add(request(sequence, 9, 9, alike));
    const plans = stepOf(scheduler);
    expect(plans.flatMap(({ begin }) => begin.map(({ blocks }) => blocks.length))).to.deep.equal([0, 0, 0]);
    scheduler.finish(1);
    scheduler.add(request(3, 9, 2, { family: 8 }));
    expect(shapesOf(stepOf(scheduler)[1]!), 'another prompt').to.deep.equal([[3, 0, 9, false]]);
  });

  it('the next turn begins with the answer of the one before where forms make no difference, and with its prompt alone where they do', () => {
    for (const separatesForms of [false, true]) {
      const scheduler = new Scheduler({ ...OPTIONS, sharing: { seed: '', separatesForms } });
      const first = request(0, 6, 7, alike);
      scheduler.add(first);
      for (let i = 0; i < 7; i++) stepOf(scheduler);
      scheduler.finish(0);
      const promptTokenIds = [...FollowedScheduler.tokensOf(first), 1, 2, 3];
      scheduler.add({ ...request(1, 1), promptTokenIds });
      const [plan] = stepOf(scheduler);
      // 6 + 6 tokens were computed: the last one of 7 was only sampled.
      expect(shapesOf(plan!)).to.deep.equal([separatesForms ? [1, 4, 12, false] : [1, 12, 4, false]]);
    }
  });

  it('a request that wants something of each token computes all of them, and may be shared', () => {
    for (const wish of [{ routedExperts: true }, { promptLogprobs: 0 }, { logits: true }]) {
      const [wanted] = Object.keys(wish);
      const scheduler = withFirst();
      const one = request(1, 11, 2, alike);
      scheduler.add({ ...one, wants: { ...one.wants, ...wish } });
      expect(shapesOf(stepOf(scheduler)[0]!).at(-1)!.slice(0, 2), wanted).to.deep.equal([1, 0]);
      stepOf(scheduler);
      scheduler.finish(0);
      scheduler.add(request(2, 11, 2, alike));
      expect(stepOf(scheduler)[0]!.begin[0]!.tokenIds, wanted).to.have.length(8);
    }
  });

  it('where experts are forced upon tokens nothing is shared', () => {
    const scheduler = withFirst({ ...OPTIONS, sharing: null });
    scheduler.add(request(1, 11, 2, alike));
    expect(stepOf(scheduler)[0]!.begin[0]!.blocks).to.deep.equal([]);
  });

  it('tokens from the first one on that lost an expert are not shared', () => {
    const scheduler = new Scheduler(OPTIONS);
    scheduler.add(request(0, 11, 9, alike));
    const [plan] = scheduler.next()!;
    scheduler.commit(plan!, [{ tokenId: 5, degraded: [5, 6] }]);
    scheduler.add(request(1, 11, 2, alike));
    expect(stepOf(scheduler)[0]!.begin[0]!.tokenIds).to.have.length(4);
  });

  it('a shared prefix makes room: a rank takes a sequence whose other blocks fit', () => {
    const scheduler = withFirst({ ...OPTIONS, numKvBlocks: 4 });
    scheduler.add(request(1, 11, 1, alike));
    expect(shapesOf(stepOf(scheduler)[0]!).at(-1)).to.deep.equal([1, 8, 3, false]);
  });
});
