import { expect } from 'chai';
import { Scheduler, type SequenceRequest } from '../../../../lib/head/scheduling/scheduler.js';
import { OPTIONS, request, stepOf } from '../../../kit/engine/scheduling.js';

/** A turn of 8 tokens, two blocks, whose blocks stay for a second. */
const turn = (sequence: number, family: number, pinMs = 1000): SequenceRequest => ({
  ...request(sequence, 8, 1, { family }),
  pinMs,
});

describe('sequences whose blocks are pinned', () => {
  /** A scheduler with six blocks whose clock is `clock.nowMs`; the first turn of family 9 is over. */
  function afterOneTurn(pinShare = 0.5): { scheduler: Scheduler; clock: { nowMs: number } } {
    const clock = { nowMs: 0 };
    const scheduler = new Scheduler({ ...OPTIONS, numKvBlocks: 6, pinShare, nowMs: () => clock.nowMs });
    run(scheduler, turn(0, 9));
    return { scheduler, clock };
  }

  function run(scheduler: Scheduler, added: SequenceRequest): void {
    scheduler.add(added);
    stepOf(scheduler);
    scheduler.finish(added.sequence);
  }

  /** Others fill all that they can get, one after the other. */
  function flood(scheduler: Scheduler): void {
    for (const sequence of [11, 12, 13, 14]) run(scheduler, request(sequence, 8, 1));
  }

  const numFound = (scheduler: Scheduler, sequence: number): number => {
    scheduler.add(request(sequence, 9, 1, { family: 9 }));
    const { begin } = stepOf(scheduler)[0]!;
    scheduler.finish(sequence);
    return begin[0]!.blocks.length;
  };

  it('the next turn finds what was pinned, whatever came between, until its time is over', () => {
    const { scheduler, clock } = afterOneTurn();
    expect(scheduler.load.ranks[0]).to.include({ numUsedBlocks: 0, numCachedBlocks: 2, numPinnedBlocks: 2 });
    flood(scheduler);
    expect(numFound(scheduler, 20)).to.equal(2);
    clock.nowMs = 1000;
    expect(scheduler.load.ranks[0]).to.include({ numPinnedBlocks: 0 });
    flood(scheduler);
    expect(numFound(scheduler, 21)).to.equal(0);
  });

  it('no longer than may be, whatever a request says', () => {
    const clock = { nowMs: 0 };
    const options = { ...OPTIONS, numKvBlocks: 6, pinShare: 1, maxPinMs: 500, nowMs: () => clock.nowMs };
    const scheduler = new Scheduler(options);
    run(scheduler, turn(0, 9, 86_400_000));
    expect(scheduler.load.ranks[0]).to.include({ numPinnedBlocks: 2 });
    clock.nowMs = 500;
    expect(scheduler.load.ranks[0]).to.include({ numPinnedBlocks: 0 });
  });

  it('others wait rather than take what is pinned, and one alone takes it all the same', () => {
    const { scheduler } = afterOneTurn();
    for (const sequence of [1, 2, 3]) scheduler.add(request(sequence, 7, 1));
    const numBegun = (): number => stepOf(scheduler)[0]!.begin.length;
    expect(numBegun(), 'two blocks each of four').to.equal(2);
    for (const sequence of [1, 2]) scheduler.finish(sequence);
    expect(numBegun()).to.equal(1);
    scheduler.finish(3);
    run(scheduler, request(4, 16, 9));
    expect(scheduler.load.ranks[0], 'four blocks fitted').to.include({ numPinnedBlocks: 2 });
    scheduler.add(request(5, 16, 9));
    for (let i = 0; i < 6; i++) stepOf(scheduler);
    scheduler.finish(5);
    expect(scheduler.load.ranks[0], 'it grew to six').to.include({ numPinnedBlocks: 0, numUsedBlocks: 0 });
  });

  it('who gives way pins nothing: its blocks are wanted', () => {
    const scheduler = new Scheduler({ ...OPTIONS, numKvBlocks: 4, pinShare: 1, nowMs: () => 0 });
    for (const sequence of [0, 1]) scheduler.add({ ...request(sequence, 7, 6), pinMs: 1000 });
    while (scheduler.counts.numPreempted === 0) stepOf(scheduler);
    expect(scheduler.load.ranks[0]).to.include({ numPinnedBlocks: 0 });
    scheduler.finish(0);
    scheduler.finish(1);
  });

  it('no more are pinned than may be, and a reset forgets them too', () => {
    const { scheduler } = afterOneTurn();
    run(scheduler, turn(1, 8));
    expect(scheduler.load.ranks[0]).to.include({ numCachedBlocks: 4, numPinnedBlocks: 3 });
    expect(scheduler.counts.numRefusedPins).to.equal(1);
    expect(scheduler.resetPrefixCache()).to.equal(true);
    expect(scheduler.load.ranks[0]).to.include({ numCachedBlocks: 0, numPinnedBlocks: 0 });
    run(scheduler, turn(2, 8));
    expect(scheduler.load.ranks[0], 'and their places are free').to.include({ numPinnedBlocks: 2 });
  });
});
