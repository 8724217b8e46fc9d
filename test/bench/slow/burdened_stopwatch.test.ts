import { expect } from 'chai';
import { BurdenedStopwatch } from '../../../bench/slow/burdened_stopwatch.js';

describe('a burdened stopwatch', () => {
  it('has what a rank computes take as many times longer, and counts that', () => {
    const clock = new BurdenedStopwatch({ factor: 3 });
    clock.start();
    const startMs = performance.now();
    while (performance.now() - startMs < 2);
    const ownMs = performance.now() - startMs;
    clock.lap('experts');
    expect(clock.take().experts).to.be.at.least(3 * ownMs);
  });

  it('leaves waiting as it is', () => {
    const clock = new BurdenedStopwatch({ factor: 1e9 });
    clock.start();
    clock.lap('dispatch'); // else this test would never end
    clock.lap('combine');
    expect(clock.take().experts).to.equal(0);
  });
});
