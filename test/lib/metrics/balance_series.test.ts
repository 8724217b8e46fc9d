import { expect } from 'chai';
import { randomFrom } from '../../../experts/routing/random.js';
import { BalanceSeries } from '../../../lib/metrics/balance_series.js';

describe('balance over time', () => {
  it('keeps every step while there is room', () => {
    const series = new BalanceSeries(4);
    for (let step = 1; step <= 4; step++) series.push(step, { meanLoad: step, maxLoad: 2 * step });
    expect(series.points).to.deep.equal(
      [1, 2, 3, 4].map((step) => ({ step, numSteps: 1, meanLoad: step, maxLoad: 2 * step })),
    );
  });

  it('never has more points than its capacity, and each is the sum of consecutive steps', () => {
    const random = randomFrom(1);
    const series = new BalanceSeries(8);
    const steps: { meanLoad: number; maxLoad: number }[] = [];
    for (let step = 0; step < 1000; step++) {
      const sums = { meanLoad: Math.floor(100 * random()), maxLoad: 100 + Math.floor(100 * random()) };
      steps.push(sums);
      series.push(step, sums);
      expect(series.points.length).to.be.within(1, 8);
      let next = 0;
      for (const point of series.points) {
        const own = steps.slice(next, next + point.numSteps);
        const sum = (key: 'meanLoad' | 'maxLoad'): number => own.reduce((total, each) => total + each[key], 0);
        const [meanLoad, maxLoad] = [sum('meanLoad'), sum('maxLoad')];
        expect(point).to.deep.equal({ step: next, numSteps: own.length, meanLoad, maxLoad });
        next += point.numSteps;
      }
      expect(next).to.equal(step + 1);
    }
  });
});
