import { expect } from 'chai';
import { Scheduler } from '../../../../lib/head/scheduling/scheduler.js';
import { OPTIONS, request, stepOf } from '../../../kit/engine/scheduling.js';

describe('what single requests hold', () => {
  it('is told of those that run, in the order of their admission, then of those that wait', () => {
    const scheduler = new Scheduler({ ...OPTIONS, maxNumSeqs: 2 });
    scheduler.add(request(0, 9, 4, { priority: 3 }));
    scheduler.add(request(1, 20, 4));
    scheduler.add(request(2, 7, 4));
    stepOf(scheduler); // 16 tokens: all of the first prompt, 7 of the second
    const { sequences, numPrefillTokens } = scheduler.sequenceLoads(9);
    expect(sequences).to.deep.equal([
      { sequence: 0, isRunning: true, priority: 3, numBlocks: 3, numPromptTokens: 9, numOutputTokens: 1 },
      { sequence: 1, isRunning: true, priority: 0, numBlocks: 2, numPromptTokens: 20, numOutputTokens: 0 },
      { sequence: 2, isRunning: false, priority: 0, numBlocks: 2, numPromptTokens: 7, numOutputTokens: 0 },
    ]);
    expect(numPrefillTokens, 'the first one generates').to.equal(13 + 7);
    const numbersOf = (most: number) => scheduler.sequenceLoads(most).sequences.map(({ sequence }) => sequence);
    expect([numbersOf(1), numbersOf(2)]).to.deep.equal([[0], [0, 1]]);
    expect(scheduler.sequenceLoads(0).numPrefillTokens, 'all count, listed or not').to.equal(20);
  });
});
