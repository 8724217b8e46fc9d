import { expect } from 'chai';
import { Scheduler, type ScheduledPlan } from '../../../../lib/head/scheduling/scheduler.js';
import { OPTIONS, outputsOf, request, sequencesOf, stepOf } from '../../../kit/engine/scheduling.js';

describe('scheduler', () => {
  it('admits first come, first served: a request without room keeps smaller ones behind it waiting', () => {
    const scheduler = new Scheduler({ ...OPTIONS, numKvBlocks: 4 });
    for (const added of [request(0, 9), request(1, 13), request(2, 1)]) scheduler.add(added);
    const [plan] = scheduler.next()!;
    expect(plan!.begin.map(({ sequence }) => sequence)).to.deep.equal([0]);
    scheduler.finish(0);
    expect(scheduler.next()![0]!.begin.map(({ sequence }) => sequence)).to.deep.equal([1]);
  });

  it('takes blocks as a sequence grows: for each chunk of its prompt, then for a token that needs one', () => {
    const scheduler = new Scheduler({ ...OPTIONS, maxNumBatchedTokens: 6 });
    scheduler.add(request(0, 9, 9));
    const appended = Array.from({ length: 7 }, () => stepOf(scheduler)[0]!.parts[0]!.blocks);
    // Tokens 0 … 5, 6 … 8, then one by one.
    expect(appended).to.deep.equal([[0, 1], [2], [], [], [], [3], []]);
    expect(scheduler.numFreeBlocks).to.equal(OPTIONS.numKvBlocks - 4);
  });

  it('spreads sequences over ranks by their number, then by the blocks that their prompts need', () => {
    const scheduler = new Scheduler({ ...OPTIONS, numRanks: 3 });
    for (const added of [request(0, 12), request(1, 1), request(2, 8), request(3, 1)]) scheduler.add(added);
    const plans = scheduler.next()!;
    expect(plans.map(({ begin }) => begin.map(({ sequence }) => sequence))).to.deep.equal([[0], [1, 3], [2]]);
  });

  it('takes generated tokens first and fills the budget with prompts in chunks', () => {
    const scheduler = new Scheduler({ ...OPTIONS, maxNumBatchedTokens: 6 });
    scheduler.add(request(0, 4, 5));
    scheduler.add(request(1, 9, 1));
    const sizes = (plans: ScheduledPlan[]) =>
      plans[0]!.parts.map((part) => [part.sequence, part.position, part.tokenIds.length]);
    expect(sizes(stepOf(scheduler))).to.deep.equal([
      [0, 0, 4],
      [1, 0, 2],
    ]);
    const second = stepOf(scheduler);
    expect(sizes(second)).to.deep.equal([
      [0, 4, 1],
      [1, 2, 5],
    ]);
    expect(second[0]!.parts.map(({ sample, nextPromptToken }) => [sample, nextPromptToken])).to.deep.equal([
      [true, null],
      [false, 1007],
    ]);
    expect(sizes(scheduler.next()!)).to.deep.equal([
      [0, 5, 1],
      [1, 7, 2],
    ]);
  });

  it('a sequence that wants logits comes in chunks that tell at most maxToldBytes and samples nothing without new tokens', () => {
    const scheduler = new Scheduler(OPTIONS);
    scheduler.add(request(0, 11, 0, { logits: true }));
    const lengths: number[] = [];
    for (let position = 0; position < 11;) {
      const [plan] = stepOf(scheduler);
      expect(plan!.parts[0]!.sample).to.equal(false);
      lengths.push(plan!.parts[0]!.tokenIds.length);
      position += plan!.parts[0]!.tokenIds.length;
    }
    expect(lengths).to.deep.equal([8, 3]);
  });

  it('the tokens whose logits travel to the head are limited per step, over all sequences', () => {
    const scheduler = new Scheduler(OPTIONS);
    for (const sequence of [0, 1, 2]) scheduler.add(request(sequence, 6, 0, { logits: true }));
    const sizes: number[] = [];
    for (let left = 18; left > 0;) {
      const [plan] = stepOf(scheduler);
      const size = plan!.parts.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
      for (const part of plan!.parts) if (part.nextPromptToken === null) scheduler.finish(part.sequence);
      sizes.push(size);
      left -= size;
    }
    expect(sizes).to.deep.equal([8, 8, 2]);
  });

  it('finish has the rank of a sequence that began forget it, and nobody for one that waits or is unknown', () => {
    const scheduler = new Scheduler({ ...OPTIONS, maxNumSeqs: 1 });
    scheduler.add(request(0, 4));
    scheduler.add(request(1, 4));
    scheduler.next();
    for (const sequence of [1, 7]) scheduler.finish(sequence);
    expect(scheduler.takeFreed()).to.deep.equal([]);
    scheduler.finish(0);
    expect(scheduler.takeFreed()).to.deep.equal([{ rank: 0, blocks: [0], sequences: [0] }]);
    scheduler.finish(0);
    expect(scheduler.takeFreed()).to.deep.equal([]);
    expect(scheduler.next()).to.equal(null);
    expect(scheduler.numFreeBlocks).to.equal(OPTIONS.numKvBlocks);
  });

  it('a sequence that was admitted but got no tokens yet holds no block, and no rank hears of its end', () => {
    const scheduler = new Scheduler({ ...OPTIONS, maxNumBatchedTokens: 4 });
    scheduler.add(request(0, 8));
    scheduler.add(request(1, 8));
    expect(sequencesOf(scheduler.next()!)).to.deep.equal([[0]]);
    scheduler.finish(1);
    expect(scheduler.takeFreed()).to.deep.equal([]);
    expect(scheduler.numFreeBlocks).to.equal(OPTIONS.numKvBlocks - 1);
  });

  it('a sequence that was cancelled while its step ran takes nothing from the result', () => {
    const scheduler = new Scheduler(OPTIONS);
    scheduler.add(request(0, 4));
    const [plan] = scheduler.next()!;
    scheduler.finish(0);
    scheduler.commit(plan!, outputsOf(plan!));
    expect(scheduler.next()).to.equal(null);
    expect(scheduler.numFreeBlocks).to.equal(OPTIONS.numKvBlocks);
  });

  it('has nothing to compute before the first request', () => {
    expect(new Scheduler(OPTIONS).next()).to.equal(null);
  });
});
