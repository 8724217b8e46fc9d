import { expect } from 'chai';
import { Scheduler, type ScheduledPlan } from '../../../../lib/head/scheduling/scheduler.js';
import { OPTIONS, outputsOf, request, sequencesOf, shapesOf, stepOf, lose } from '../../../kit/engine/scheduling.js';

const commit = (scheduler: Scheduler, plans: readonly ScheduledPlan[]): void => {
  for (const plan of plans)
    scheduler.commit(
      plan,
      outputsOf(plan, () => 7),
    );
};

describe('the scheduler when ranks are lost', () => {
  it('sequences of a lost rank wait before all others and go on elsewhere where they stood', () => {
    const scheduler = new Scheduler({ ...OPTIONS, numRanks: 2, maxNumSeqs: 2 });
    for (const added of [request(0, 4, 3), request(1, 4, 3), request(2, 3, 3), request(3, 3, 3), request(4, 2)])
      scheduler.add(added);
    commit(scheduler, scheduler.next()!);
    expect(scheduler.next()!.map(shapesOf)).to.deep.equal([
      [
        [0, 4, 1, false],
        [2, 3, 1, false],
      ],
      [
        [1, 4, 1, false],
        [3, 3, 1, false],
      ],
    ]);
    // The second step is abandoned: rank 1 has gone.
    expect(lose(scheduler, [1], 1)).to.deep.equal({ numRequeued: 2, failed: [] });
    for (const sequence of [0, 2]) scheduler.finish(sequence);
    const [plan, none] = scheduler.next()!;
    expect(none).to.deep.include({ epoch: 1, begin: [], parts: [] });
    expect(plan!.begin.map(({ sequence }) => sequence)).to.deep.equal([1, 3]);
    expect(shapesOf(plan!)).to.deep.equal([
      [1, 0, 4, true],
      [3, 0, 3, true],
    ]);
    commit(scheduler, [plan!]);
    const [next] = scheduler.next()!;
    expect(shapesOf(next!)).to.deep.equal([
      [1, 4, 1, false],
      [3, 3, 1, false],
    ]);
    expect(next!.parts.map(({ tokenIds, sample, isPrompt }) => [tokenIds, sample, isPrompt])).to.deep.equal([
      [[7], true, false],
      [[7], true, false],
    ]);
  });

  it('an abandoned step is planned again: its blocks are given back, and ranks that are left are told so', () => {
    const scheduler = new Scheduler({ ...OPTIONS, numRanks: 2 });
    for (const added of [request(0, 3, 3), request(1, 6, 3)]) scheduler.add(added);
    stepOf(scheduler);
    scheduler.add(request(2, 9));
    const [first] = scheduler.next()!;
    expect(first!.parts.map(({ sequence, blocks }) => [sequence, blocks])).to.deep.equal([
      [0, []],
      [2, [1, 2, 3]],
    ]);
    lose(scheduler, [1], 1);
    expect(scheduler.numFreeBlocks).to.equal(OPTIONS.numKvBlocks - 1);
    expect(scheduler.takeFreed()).to.deep.equal([{ rank: 0, blocks: [1, 2, 3], sequences: [] }]);
    const [again] = scheduler.next()!;
    expect(again!.begin.map(({ sequence }) => sequence)).to.deep.equal([2, 1]);
    expect(again!.parts.map(({ sequence, blocks }) => [sequence, blocks.length])).to.deep.equal([
      [0, 0],
      [2, 3],
      [1, 2],
    ]);
  });

  it('a sequence that fails two ranks at the same tokens is over; those that were computed beside it go on', () => {
    const scheduler = new Scheduler({ ...OPTIONS, numRanks: 3, maxNumSeqs: 6 });
    for (const sequence of [0, 1, 2, 3, 4, 5]) scheduler.add(request(sequence, 4, 9));
    expect(sequencesOf(scheduler.next()!)).to.deep.equal([
      [0, 3],
      [1, 4],
      [2, 5],
    ]);
    expect(lose(scheduler, [0], 1, [0])).to.deep.equal({ numRequeued: 2, failed: [] });
    // Sequences 0 and 3 are suspects: no rank computes two of them in one step.
    expect(sequencesOf(scheduler.next()!)).to.deep.equal([[], [1, 4, 0], [2, 5, 3]]);
    expect(lose(scheduler, [1], 2, [1])).to.deep.equal({ numRequeued: 2, failed: [{ sequence: 0, ranks: [0, 1] }] });
    const order = Array.from({ length: 4 }, () => sequencesOf(stepOf(scheduler))[2]!);
    expect(order).to.deep.equal([
      [2, 5, 3],
      [2, 5, 3, 1],
      [2, 5, 3, 1, 4],
      [2, 5, 3, 1, 4],
    ]);
  });

  it('losses that tell nothing about a sequence are not held against it, nor those before it went on', () => {
    const scheduler = new Scheduler({ ...OPTIONS, numRanks: 6 });
    scheduler.add(request(0, 4, 9));
    let numLost = 0;
    const rankOf = (plans: ScheduledPlan[]): number => plans.findIndex(({ parts }) => parts.length > 0);
    /** Computes a step, at which its rank fails. */
    const loseAt = (isHeldAgainst: boolean) => {
      const rank = rankOf(scheduler.next()!);
      return lose(scheduler, [rank], ++numLost, isHeldAgainst ? [rank] : []).failed;
    };
    expect(loseAt(true)).to.deep.equal([]);
    stepOf(scheduler);
    expect(loseAt(true), 'the prompt was computed between').to.deep.equal([]);
    expect(loseAt(false), 'a process that was killed').to.deep.equal([]);
    expect(lose(scheduler, [5], ++numLost, [5]).failed, 'between two steps').to.deep.equal([]);
    stepOf(scheduler); // the replay of what was committed proves nothing
    expect(loseAt(true)).to.deep.equal([{ sequence: 0, ranks: [1, 3] }]);
    expect(scheduler.next()).to.equal(null);
  });

  it('generated tokens are replayed apart from the prompt and before other prompts', () => {
    const scheduler = new Scheduler({ ...OPTIONS, numRanks: 2, maxNumSeqs: 2 });
    scheduler.add(request(0, 4, 9));
    for (let i = 0; i < 4; i++) {
      const [plan] = scheduler.next()!;
      scheduler.commit(
        plan!,
        outputsOf(plan!, () => 50 + i),
      );
    }
    lose(scheduler, [0], 1);
    const parts: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      if (i === 1) scheduler.add(request(1, 2));
      const plan = scheduler.next()![1]!;
      parts.push(
        plan.parts.map(({ sequence, tokenIds, isPrompt, isReplay }) => [sequence, tokenIds, isPrompt, isReplay]),
      );
      scheduler.commit(
        plan,
        outputsOf(plan, () => 60),
      );
    }
    expect(parts).to.deep.equal([
      [[0, [0, 1, 2, 3], true, true]],
      [
        [0, [50, 51, 52], false, true],
        [1, [1000, 1001], true, false],
      ],
      [
        [0, [53], false, false],
        [1, [60], false, false],
      ],
    ]);
  });
});
