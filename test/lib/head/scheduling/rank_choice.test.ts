import { expect } from 'chai';
import type { Place } from '../../../../lib/head/scheduling/policy.js';
import { bestPlace } from '../../../../lib/head/scheduling/rank_choice.js';
import { Scheduler } from '../../../../lib/head/scheduling/scheduler.js';
import { OPTIONS, place, request, sequencesOf, stepOf, lose } from '../../../kit/engine/scheduling.js';

const best = (...places: Place[]) => bestPlace(places)?.rank;

describe('the choice of a rank', () => {
  it('is the one with the fewest tokens to compute, where as many sequences run', () => {
    expect(best(place(0, 2, { numPrefillTokens: 300 }), place(1, 2, { numPrefillTokens: 299 }))).to.equal(1);
  });

  it('weighs a sequence that runs as 64 tokens, and 64 tokens in the KV cache as one', () => {
    expect(best(place(0, 1), place(1, 0, { numPrefillTokens: 63 }))).to.equal(1);
    expect(best(place(0, 1), place(1, 0, { numPrefillTokens: 65 }))).to.equal(0);
    expect(best(place(0, 0, { numKvTokens: 640 }), place(1, 0, { numPrefillTokens: 9 }))).to.equal(1);
    expect(best(place(0, 0, { numKvTokens: 640 }), place(1, 0, { numPrefillTokens: 11 }))).to.equal(0);
  });

  it('counts what was left for the sequence three times more than what others hold too', () => {
    const elsewhere = place(1, 0, { numPrefillTokens: 100 });
    const held = place(0, 2, { numPrefillTokens: 20, numCachedTokens: 80 });
    expect(best(held, elsewhere)).to.equal(1);
    expect(best({ ...held, numIdleTokens: 80 }, elsewhere)).to.equal(0);
    expect(best({ ...held, numIdleTokens: 16 }, elsewhere)).to.equal(0);
    expect(best({ ...held, numIdleTokens: 15 }, elsewhere)).to.equal(1);
  });

  it('then the one with the most blocks left, then the lowest; never one without room', () => {
    expect(
      best(place(0, 1, { numFreeBlocks: 3 }), place(1, 1, { numFreeBlocks: 5 }), place(2, 1, { numFreeBlocks: 5 })),
    ).to.equal(1);
    expect(best(place(0, 9, { numFreeBlocks: 0 }), place(1, 0, { numFreeBlocks: -1 }))).to.equal(0);
    expect(best(place(0, 0, { numFreeBlocks: -1 }))).to.equal(undefined);
    expect(best()).to.equal(undefined);
  });

  it('sends a sequence to the rank that has its prefix, until that rank has too much to do', () => {
    const scheduler = new Scheduler({
      ...OPTIONS,
      numRanks: 2,
      maxNumSeqs: 9,
      maxNumBatchedTokens: 999,
      numKvBlocks: 200,
    });
    const numTokens = 201;
    scheduler.add(request(0, numTokens, 9, { family: 7 }));
    stepOf(scheduler);
    for (let sequence = 1; sequence < 5; sequence++) scheduler.add(request(sequence, numTokens, 9, { family: 7 }));
    const [first, second] = sequencesOf(stepOf(scheduler));
    // 200 shared tokens are worth three sequences of 64 each.
    expect([first, second]).to.deep.equal([[0, 1, 2, 3], [4]]);
  });
});

describe('what a scheduler says of its load', () => {
  it('is used, cached and all blocks, and how unevenly sequences, blocks and prompts are spread: the most over the mean', () => {
    const scheduler = new Scheduler({ ...OPTIONS, numRanks: 2 });
    expect(scheduler.load.imbalance).to.deep.equal({ kvUse: 1, numRunning: 1, prefillTokens: 1 });
    for (const added of [request(0, 12, 2), request(1, 4, 2), request(2, 4, 1)]) scheduler.add(added);
    stepOf(scheduler);
    expect(scheduler.load.ranks).to.deep.equal([
      {
        rank: 0,
        numRunning: 1,
        numKvBlocks: 32,
        numUsedBlocks: 3,
        numCachedBlocks: 0,
        numPinnedBlocks: 0,
        tiers: [],
        numPrefillTokens: 12,
      },
      {
        rank: 1,
        numRunning: 2,
        numKvBlocks: 32,
        numUsedBlocks: 2,
        numCachedBlocks: 0,
        numPinnedBlocks: 0,
        tiers: [],
        numPrefillTokens: 8,
      },
    ]);
    expect(scheduler.load.imbalance).to.deep.equal({ kvUse: 6 / 5, numRunning: 4 / 3, prefillTokens: 6 / 5 });
    scheduler.finish(0);
    expect(scheduler.load.ranks[0]).to.include({ numRunning: 0, numUsedBlocks: 0, numCachedBlocks: 3 });
    lose(scheduler, [1], 1);
    expect(scheduler.load.ranks.map(({ rank }) => rank)).to.deep.equal([0]);
    expect(scheduler.load).to.deep.include({ numWaiting: 2, imbalance: { kvUse: 1, numRunning: 1, prefillTokens: 1 } });
  });
});
