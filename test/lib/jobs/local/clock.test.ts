import { expect } from 'chai';
import { clockOf } from '../../../../lib/jobs/local/clock.js';

describe('the clock of jobs', () => {
  it('calls when it is due, also where that is longer than one of Node’s timers', async () => {
    const clock = clockOf(5);
    const beganMs = clock.now();
    const calledMs = await new Promise<number>((resolve) => {
      clock.after(40, () => resolve(clock.now()));
    });
    expect(calledMs - beganMs).to.be.at.least(40);
  });

  it('doesn’t call whom somebody stopped between two of its timers', async () => {
    const clock = clockOf(5);
    let calls = 0;
    const stop = clock.after(20, () => calls++);
    await new Promise((resolve) => setTimeout(resolve, 10));
    stop();
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(calls).to.equal(0);
  });
});
