import { expect } from 'chai';
import { fcfs } from '../../../../../lib/head/scheduling/policies/fcfs.js';
import type { Place } from '../../../../../lib/head/scheduling/policy.js';
import { place, runningView as view, waitingView as waiting } from '../../../../kit/engine/scheduling.js';

const budget = (numTokens: number, numBytes = Infinity) => ({ numTokens, numBytes });

describe('first come, first served', () => {
  it('admits the first that waits, to the rank where it costs least, and keeps the others waiting where there is none', () => {
    const admit = (...places: Place[]) => fcfs.admit([waiting(4), waiting(5)], () => places);
    expect(admit(place(0, 2), place(1, 1))).to.deep.equal({ sequence: 4, rank: 1 });
    expect(admit(place(0, 0, { numFreeBlocks: -1 }))).to.equal(null);
    expect(admit()).to.equal(null);
    expect(fcfs.admit([], () => [place(0, 0)])).to.equal(null);
  });

  it('asks for the places of the first alone', () => {
    const asked: number[] = [];
    fcfs.admit([waiting(7), waiting(8)], (sequence) => {
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
