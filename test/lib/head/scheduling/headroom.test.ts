import { expect } from 'chai';
import { uniform } from '../../../../base/philox.js';
import { HEADROOM_BLOCKS } from '../../../../lib/head/scheduling/crowds.js';
import { Scheduler } from '../../../../lib/head/scheduling/scheduler.js';
import { OPTIONS, request, sequencesOf, stepOf } from '../../../kit/engine/scheduling.js';

const NUM_REQUESTS = 150;

/** More requests than fit at once, all there from the start; what they cost. */
function overload(numHeadroomBlocks: number) {
  const limits = { maxNumSeqs: 64, maxNumBatchedTokens: 512, blockSize: 16, numKvBlocks: 300 };
  const scheduler = new Scheduler({ ...OPTIONS, ...limits, sharing: null, numHeadroomBlocks });
  let numUseful = 0;
  const left = new Map<number, number>();
  for (let i = 0; i < NUM_REQUESTS; i++) {
    const [promptLength, newTokens] = [0, 1].map((stream) => 1 + Math.floor(400 * uniform(7, stream, i)));
    scheduler.add(request(i, promptLength!, newTokens));
    left.set(i, newTokens!);
    numUseful += promptLength! + newTokens! - 1;
  }
  let [numSteps, numAgain] = [0, 0];
  while (left.size > 0) {
    numSteps++;
    for (const { sequence, isReplay, tokenIds, sample } of stepOf(scheduler)[0]!.parts) {
      if (isReplay) numAgain += tokenIds.length;
      if (sample) left.set(sequence, left.get(sequence)! - 1);
      if (left.get(sequence) !== 0) continue;
      left.delete(sequence);
      scheduler.finish(sequence);
    }
  }
  return { numSteps, recomputed: numAgain / numUseful, numPreempted: scheduler.counts.numPreempted };
}

describe('headroom of the admission', () => {
  it('has an overloaded rank compute less than a fifth as many tokens twice, in hardly more steps', () => {
    const [without, having] = [overload(0), overload(HEADROOM_BLOCKS)];
    expect(without.recomputed, 'otherwise this proves nothing').to.be.above(0.2);
    expect(having.recomputed).to.be.below(without.recomputed / 5);
    expect(having.numSteps).to.be.below(1.05 * without.numSteps);
  });

  it('keeps no blocks for tokens that a sequence will not have', () => {
    const scheduler = new Scheduler({ ...OPTIONS, numKvBlocks: 4, numHeadroomBlocks: 2 });
    for (const sequence of [0, 1, 2, 3]) scheduler.add(request(sequence, 3, 1));
    expect(stepOf(scheduler)[0]!.parts).to.have.length(4);
  });

  it('never keeps a sequence waiting that would run alone', () => {
    const scheduler = new Scheduler({ ...OPTIONS, numKvBlocks: 4, numHeadroomBlocks: 9 });
    scheduler.add(request(0, 13, 3));
    scheduler.add(request(1, 1, 9));
    expect(sequencesOf(stepOf(scheduler))).to.deep.equal([[0]]);
    scheduler.finish(0);
    for (const sequence of [2, 3]) scheduler.add(request(sequence, 1, 1));
    expect(sequencesOf(stepOf(scheduler)), 'two of the four are kept').to.deep.equal([[1, 2]]);
  });
});
