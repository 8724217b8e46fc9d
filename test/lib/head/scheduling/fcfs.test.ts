import { expect } from 'chai';
import { fcfs } from '../../../../lib/head/scheduling/fcfs.js';
import type { Place, RunningView } from '../../../../lib/head/scheduling/policy.js';

const place = (rank: number, numSequences: number, numFreeBlocks: number): Place => ({
  ...{ rank, numSequences, numFreeBlocks },
});

const view = (sequence: number, numReady: number, isGenerating = false, wantsLogits = false): RunningView => ({
  ...{ sequence, numReady, isGenerating, wantsLogits },
});

const budget = (numTokens: number, numLogitTokens = Infinity) => ({ numTokens, numLogitTokens });

describe('first come, first served', () => {
  it('admits the first that waits, to the rank with the fewest sequences, then the most blocks left, then the lowest', () => {
    const admit = (...places: Place[]) => fcfs.admit([{ sequence: 4 }, { sequence: 5 }], () => places)?.rank;
    expect(admit(place(0, 2, 9), place(1, 1, 3), place(2, 1, 5), place(3, 1, 5))).to.equal(2);
    expect(admit(place(0, 2, 0), place(1, 1, -1))).to.equal(0);
    expect(admit(place(0, 0, -1))).to.equal(undefined);
    expect(admit()).to.equal(undefined);
    expect(fcfs.admit([], () => [place(0, 0, 9)])).to.equal(null);
  });

  it('asks for the places of the first alone', () => {
    const asked: number[] = [];
    fcfs.admit([{ sequence: 7 }, { sequence: 8 }], (sequence) => {
      asked.push(sequence);
      return [];
    });
    expect(asked).to.deep.equal([7]);
  });

  it('gives generated tokens their place first, then prompts in order, until the budget is used up', () => {
    const running = [view(0, 9), view(1, 1, true), view(2, 5), view(3, 1, true), view(4, 5)];
    expect(fcfs.plan(running, budget(13))).to.deep.equal([
      { sequence: 1, numTokens: 1 },
      { sequence: 3, numTokens: 1 },
      { sequence: 0, numTokens: 9 },
      { sequence: 2, numTokens: 2 },
    ]);
    expect(fcfs.plan([], budget(13))).to.deep.equal([]);
  });

  it('passes over sequences whose logits have no room, and goes on with others', () => {
    const running = [view(0, 6, false, true), view(1, 6, false, true), view(2, 3)];
    expect(fcfs.plan(running, budget(20, 6))).to.deep.equal([
      { sequence: 0, numTokens: 6 },
      { sequence: 2, numTokens: 3 },
    ]);
  });

  it('lets who was admitted last give way', () => {
    expect(fcfs.preempt([view(3, 1, true), view(1, 4)])).to.equal(1);
  });
});
