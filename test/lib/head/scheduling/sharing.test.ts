import { expect } from 'chai';
import { Scheduler } from '../../../../lib/head/scheduling/scheduler.js';
import { OPTIONS, outputsOf, request, shapesOf, stepOf } from '../../../kit/engine/scheduling.js';

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

  it('shared blocks stay until the last sequence that holds them ends, and nothing stays after it', () => {
    const scheduler = withFirst();
    scheduler.add(request(1, 14, 2, alike));
    stepOf(scheduler);
    scheduler.finish(0);
    expect(scheduler.takeFreed()).to.deep.equal([{ rank: 0, blocks: [2], sequences: [0] }]);
    scheduler.add(request(2, 9, 2, alike));
    expect(stepOf(scheduler)[0]!.begin[0]!.blocks, 'also from who shares them').to.deep.equal([0, 1]);
    scheduler.finish(1);
    scheduler.finish(2);
    expect(scheduler.takeFreed().flatMap(({ blocks }) => blocks)).to.include.members([0, 1]);
    expect(scheduler.numFreeBlocks).to.equal(OPTIONS.numKvBlocks);
    scheduler.add(request(3, 9, 2, alike));
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

  it('generated tokens are not shared, even where another prompt continues with them', () => {
    const scheduler = new Scheduler(OPTIONS);
    scheduler.add(request(0, 4, 9, alike));
    for (let i = 0; i < 6; i++) {
      const [plan] = scheduler.next()!;
      scheduler.commit(
        plan!,
        outputsOf(plan!, (part) => 9000 + part.position + part.tokenIds.length),
      );
    }
    scheduler.add(request(1, 10, 2, alike));
    expect(shapesOf(stepOf(scheduler)[0]!).at(-1)).to.deep.equal([1, 4, 6, false]);
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
    const scheduler = withFirst({ ...OPTIONS, canSharePrefixes: false });
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
