import { expect } from 'chai';
import { Scheduler } from '../../../../lib/head/scheduling/scheduler.js';
import { OPTIONS, request, sampledToken, sequencesOf, shapesOf, stepOf } from '../../../kit/engine/scheduling.js';

describe('preemption', () => {
  /** Two sequences fill four blocks of four; the first one needs a fifth. */
  const crowded = (): Scheduler => {
    const scheduler = new Scheduler({ ...OPTIONS, numKvBlocks: 4 });
    for (const added of [request(0, 8, 6), request(1, 6, 6), request(2, 2, 2)]) scheduler.add(added);
    expect(sequencesOf(stepOf(scheduler))).to.deep.equal([[0, 1]]);
    return scheduler;
  };

  it('who came last gives way when no block is left, and its rank hears so before the plan that takes its blocks; its full ones stay', () => {
    const scheduler = crowded();
    const [plan] = scheduler.next()!;
    expect(scheduler.takeFreed()).to.deep.equal([{ rank: 0, blocks: [3], sequences: [1] }]);
    expect(shapesOf(plan!)).to.deep.equal([[0, 8, 1, false]]);
    expect(plan!.parts[0]!.blocks).to.deep.equal([3]);
    expect(scheduler.load.ranks[0]).to.include({ numUsedBlocks: 3, numCachedBlocks: 1 });
    expect(scheduler.counts.numPreempted).to.equal(1);
  });

  it('it waits before all others and computes anew what was committed, prompt and output apart, with the same tokens', () => {
    const scheduler = crowded();
    while (scheduler.counts.numPreempted === 0) stepOf(scheduler);
    for (let i = 0; i < 4; i++) expect(sequencesOf(stepOf(scheduler)), 'no room beside the first').to.deep.equal([[0]]);
    scheduler.finish(0);
    const [replay] = stepOf(scheduler);
    expect(replay!.begin.map(({ sequence }) => sequence)).to.deep.equal([1, 2]);
    expect(shapesOf(replay!)).to.deep.equal([
      [1, 0, 6, true],
      [2, 0, 2, false],
    ]);
    const [next] = stepOf(scheduler);
    expect(next!.parts.map(({ tokenIds, sample }) => [tokenIds, sample])).to.deep.equal([
      [[sampledToken(1, 6)], true],
      [[sampledToken(2, 2)], true],
    ]);
  });

  it('a replay of generated tokens takes them in one part', () => {
    const scheduler = new Scheduler({ ...OPTIONS, numKvBlocks: 4, sharing: null });
    for (const added of [request(0, 5, 9), request(1, 2, 9)]) scheduler.add(added);
    while (scheduler.counts.numPreempted === 0) stepOf(scheduler);
    scheduler.finish(0);
    const shapes = [1, 2, 3].map(() => shapesOf(stepOf(scheduler)[0]!));
    // The first sequence needed its third block when it had computed 5 + 3 tokens, the second one 2 + 3.
    expect(shapes).to.deep.equal([[[1, 0, 2, true]], [[1, 2, 3, true]], [[1, 5, 1, false]]]);
  });

  it('who gave way goes on behind those of its blocks that are still cached, generated tokens too', () => {
    const scheduler = new Scheduler({ ...OPTIONS, numKvBlocks: 6 });
    for (const added of [request(0, 13, 9), request(1, 3, 9)]) scheduler.add(added);
    while (scheduler.counts.numPreempted === 0) stepOf(scheduler);
    scheduler.finish(0);
    // It had computed 3 + 3 tokens, of which the first block holds four.
    const [plan] = stepOf(scheduler);
    const tokens = [...request(1, 3).promptTokenIds, sampledToken(1, 3)];
    expect(plan!.begin[0]).to.deep.include({ sequence: 1, tokenIds: tokens });
    expect(shapesOf(plan!)).to.deep.equal([[1, 4, 2, true]]);
    expect(scheduler.counts).to.include({ numSharedTokens: 4, numPrefixQueries: 16, numPrefixHits: 0 });
  });

  it('a sequence alone never gives way: it takes every block that there is', () => {
    const scheduler = new Scheduler({ ...OPTIONS, numKvBlocks: 3 });
    scheduler.add(request(0, 4, 9));
    for (let i = 0; i < 9; i++) expect(sequencesOf(stepOf(scheduler))).to.deep.equal([[0]]);
    expect(scheduler.numFreeBlocks).to.equal(0);
    expect(scheduler.counts.numPreempted).to.equal(0);
  });

  it('a rank that has blocks left keeps its sequences', () => {
    const scheduler = new Scheduler({ ...OPTIONS, numRanks: 2, numKvBlocks: 4 });
    for (const added of [request(0, 8, 6), request(1, 3, 6), request(2, 6, 6)]) scheduler.add(added);
    expect(sequencesOf(stepOf(scheduler))).to.deep.equal([[0], [1, 2]]);
    while (scheduler.counts.numPreempted === 0) stepOf(scheduler);
    expect(scheduler.takeFreed().map(({ rank, sequences }) => [rank, sequences])).to.deep.equal([[1, [2]]]);
  });
});
