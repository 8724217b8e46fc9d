import { expect } from 'chai';
import { figuresOf } from '../../../bench/dispatch/figures.js';
import { timingsOf } from '../../../bench/dispatch/interleave.js';
import { quantile } from '../../../bench/base/machine.js';

const hundred = Array.from({ length: 100 }, (_, i) => i + 1);

describe('figures of repeats', () => {
  it('of each repeat the slowest rank counts, over all turns', () => {
    const turns = [
      [
        { us: { dispatch: [1, 8] }, copies: { dispatch: 3 } },
        { us: { dispatch: [5, 2] }, copies: { dispatch: 1 } },
      ],
      [
        { us: { dispatch: [7] }, copies: { dispatch: 2 } },
        { us: { dispatch: [9] }, copies: { dispatch: 0 } },
      ],
    ];
    expect(timingsOf(turns)).to.deep.equal({ us: { dispatch: [5, 8, 9] }, copies: { dispatch: 2 } });
  });

  it('a phase that one rank alone times is counted as it timed it', () => {
    expect(timingsOf([[{ us: { echo: [4, 6] } }, { us: {} }]])).to.deep.equal({ us: { echo: [4, 6] }, copies: null });
  });

  it('quantiles are values that occurred', () => {
    expect([0.5, 0.99, 1].map((share) => quantile(hundred, share))).to.deep.equal([50, 99, 100]);
    expect(quantile([3], 0.5)).to.equal(3);
    expect(quantile([2, 1, 3], 0.5)).to.equal(2);
  });

  it('there is a p99 from 100 repeats on, and speeds are bytes over the median', () => {
    const timings = (us: number[]) => ({ us: { dispatch: us }, copies: null });
    const raw = { naive: timings([20, 20, 19]), tuned: timings([10, 10]) };
    const figures = figuresOf({ mesh: timings(hundred), ...raw }, 'dispatch', 1_000_000);
    expect(figures).to.deep.equal({
      ...{ p50_us: 50, p99_us: 99, wire_gb_per_s: 20, raw_tcp_gb_per_s: 50, tuned_tcp_gb_per_s: 100 },
      ...{
        fraction_of_raw_tcp: 0.4,
        fraction_of_raw_tcp_at_best: 19,
        fraction_of_tuned_tcp: 0.2,
        copies: null,
        repeats: 100,
      },
    });
    expect(figuresOf({ mesh: timings(hundred.slice(1)), ...raw }, 'dispatch', 1).p99_us).to.equal(null);
  });
});
