import { expect } from 'chai';
import { keptEnds, KeptStates } from '../../../../../lib/head/scheduling/blocks/kept_states.js';
import { Scheduler } from '../../../../../lib/head/scheduling/scheduler.js';
import { OPTIONS, request, stepOf, lose } from '../../../../kit/engine/scheduling.js';

const nobody = (): boolean => false;

describe('states that blocks keep', () => {
  it('those make room that were used longest ago, never one that is wanted or being written', () => {
    const kept = new KeptStates(10, 2);
    expect([kept.plan(3, nobody), kept.plan(5, nobody)]).to.deep.equal([-1, -1]);
    expect(kept.plan(7, nobody), 'both are being written').to.equal(null);
    kept.commit(3);
    kept.commit(5);
    kept.use(3);
    expect(
      kept.plan(7, (block) => block === 5),
      'all but the last used',
    ).to.equal(3);
    expect([3, 5, 7].map((block) => kept.has(block))).to.deep.equal([false, true, false]);
    kept.forget(7);
    expect([kept.size, kept.plan(9, nobody)]).to.deep.equal([1, -1]);
  });

  it('none is kept where there is no room for any', () => {
    expect(new KeptStates(10, 0).plan(1, nobody)).to.equal(null);
  });

  it('are every so many tokens, before the last token of the prompt, and behind the last full block', () => {
    const ends = (position: number, end: number, numPromptTokens: number): number[] =>
      keptEnds({ position, end, numPromptTokens }, 4, 16);
    expect(ends(0, 50, 100)).to.deep.equal([16, 32, 48]);
    expect(ends(50, 100, 100), 'the last token of an equal prompt is computed').to.deep.equal([64, 80, 96, 100]);
    expect(ends(0, 100, 101)).to.deep.equal([16, 32, 48, 64, 80, 96, 100]);
    expect(ends(102, 103, 101)).to.deep.equal([]);
    expect(ends(103, 104, 101)).to.deep.equal([104]);
    expect(ends(0, 3, 3)).to.deep.equal([]);
  });

  const OWN = { ...OPTIONS, states: { maxKept: 8, interval: 64 } };
  const alike = { family: 9 };

  it('a sequence begins behind the last block of its prefix that keeps one, and computes the rest', () => {
    const scheduler = new Scheduler(OWN);
    scheduler.add(request(0, 11, 9, alike));
    const [first] = stepOf(scheduler);
    expect(first!.parts[0]!.keeps, 'two full blocks of four').to.deep.equal([8]);
    scheduler.add(request(1, 6, 2, alike));
    expect(stepOf(scheduler)[0]!.begin[0]!.blocks, 'its own end at 4 keeps none').to.deep.equal([]);
    scheduler.add(request(2, 14, 2, alike));
    expect(stepOf(scheduler)[0]!.begin[0]!.blocks, 'of equal ones those that keep one').to.deep.equal([3, 1]);
  });

  it('a lost rank sends the sequences of the others back to what is kept of them', () => {
    const scheduler = new Scheduler({ ...OWN, numRanks: 2 });
    scheduler.add(request(0, 11, 9));
    scheduler.add(request(1, 11, 9));
    stepOf(scheduler);
    stepOf(scheduler);
    expect(lose(scheduler, [1], 1).numRequeued).to.equal(2);
    scheduler.takeFreed();
    const [plan] = stepOf(scheduler);
    const mine = plan!.begin.find(({ sequence }) => sequence === 0)!;
    expect(mine.tokenIds, 'three full blocks of its own').to.have.length(12);
    expect(plan!.begin.find(({ sequence }) => sequence === 1)!.tokenIds).to.have.length(0);
  });
});
