import { expect } from 'chai';
import { balanceLine, heatRows } from '../../../lib/metrics/balance_charts.js';
import type { BalancePoint } from '../../../lib/metrics/balance_series.js';

const point = (step: number, meanLoad: number, maxLoad = 8): BalancePoint => ({ step, numSteps: 1, meanLoad, maxLoad });

describe('balance in characters', () => {
  it('a heat map has a row per layer, relative to its highest, with its skew', () => {
    expect(
      heatRows([
        [0, 4, 8],
        [3, 3, 3],
        [0, 0, 0],
      ]),
    ).to.equal(
      ['layer 0  ▁▅█  max 2.00 × mean', 'layer 1  ███  max 1.00 × mean', 'layer 2  ▁▁▁  max 1.00 × mean'].join('\n'),
    );
  });

  it('balancedness runs from left to right, with the steps it spans', () => {
    expect(balanceLine([point(1, 0), point(2, 4), point(3, 8)], [], 10)).to.equal('steps 1…3  ▁▅█');
    expect(balanceLine([], [3], 10)).to.equal('');
    expect(balanceLine([point(1, 0, 0)], [], 10)).to.equal('steps 1…1  █');
  });

  it('what is wider than the line shares columns, by the sums', () => {
    expect(balanceLine([point(1, 0), point(2, 8), point(3, 8), point(4, 8), point(5, 8)], [], 3)).to.equal(
      'steps 1…5  ▅██',
    );
  });

  it('rebalances are marked under the column of their step', () => {
    const points = [1, 2, 3, 4, 5].map((step) => point(step, 8));
    expect(balanceLine(points, [2, 5], 10)).to.equal('steps 1…5  █████\n            ^  ^');
    expect(balanceLine(points, [2, 3, 4], 3)).to.equal('steps 1…5  ███\n           ^^');
  });
});
