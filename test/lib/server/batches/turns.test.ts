import { expect } from 'chai';
import { Turns } from '../../../../lib/server/batches/turns.js';
import { until } from '../../../kit/server/listening.js';

const { signal } = new AbortController();

describe('turns of lines', () => {
  it('are so many at a time, in the order in which they came', async () => {
    const turns = new Turns(2, () => false);
    const began: number[] = [];
    const takes = [0, 1, 2, 3].map(async (i) => {
      const over = await turns.take(signal);
      began.push(i);
      return over;
    });
    const overs = [await takes[0]!, await takes[1]!];
    expect(began).to.deep.equal([0, 1]);
    overs[0]!();
    overs[0]!(); // again: nothing
    await takes[2]!;
    expect(began).to.deep.equal([0, 1, 2]);
    overs[1]!();
    await takes[3]!;
  });

  it('come one at a time while clients wait, and all when they don’t any more', async () => {
    let isBusy = true;
    const turns = new Turns(3, () => isBusy);
    let numBegun = 0;
    const takes = [0, 1, 2].map(async () => {
      const over = await turns.take(signal);
      numBegun++;
      return over;
    });
    const first = await takes[0]!;
    await new Promise(setImmediate);
    expect(numBegun).to.equal(1);
    first();
    await takes[1]!;
    expect(numBegun).to.equal(2);
    isBusy = false;
    await until(() => numBegun === 3);
  });

  it('are nobody’s when they pause, which is when those that began are over', async () => {
    const turns = new Turns(1, () => false);
    const over = await turns.take(signal);
    const leaving = new AbortController();
    const waiting = turns.take(leaving.signal).then(
      () => 'began',
      (error: unknown) => error,
    );
    let isPaused = false;
    const paused = turns.pause().then(() => (isPaused = true));
    await new Promise(setImmediate);
    expect(isPaused).to.equal(false);
    over();
    await paused;
    const reason = new Error('gone');
    leaving.abort(reason);
    expect(await waiting).to.equal(reason);
    await new Turns(1, () => false).pause();
  });
});
