import { expect } from 'chai';
import type { CallCounts } from '../../../bench/dispatch/base/orders.js';
import { figuresOf } from '../../../bench/dispatch/figures.js';
import { timingsOf } from '../../../bench/dispatch/interleave.js';
import { quantile } from '../../../bench/base/machine.js';

const hundred = Array.from({ length: 100 }, (_, i) => i + 1);

describe('figures of repeats', () => {
  it('of each repeat the slowest rank counts, over all turns', () => {
    const turns = [
      [{ us: { dispatch: [1, 8] } }, { us: { dispatch: [5, 2] } }],
      [{ us: { dispatch: [7] } }, { us: { dispatch: [9] } }],
    ];
    expect(timingsOf(turns)).to.deep.equal({ us: { dispatch: [5, 8, 9] }, counts: null });
  });

  it('counts are means over ranks and repeats, of what is counted; of heap the lower quartile', () => {
    const call = (wakeUps: number, heapBytes: number, writes: number | null = 2): CallCounts => ({
      ...{ wakeUps, writes, heapBytes, frames: 1, allocations: 0, copies: null },
    });
    const of = (...dispatch: CallCounts[]) => ({ us: { dispatch: dispatch.map(() => 1) }, counts: { dispatch } });
    const turns = [[of(call(1, 9e6), call(0, 100)), of(call(1, -5000), call(2, 110, null))], [of(call(1, 105))]];
    expect(timingsOf(turns).counts).to.deep.equal({ dispatch: call(1, 100) });
  });

  it('a phase that one rank alone times is counted as it timed it', () => {
    expect(timingsOf([[{ us: { echo: [4, 6] } }, { us: {} }]])).to.deep.equal({ us: { echo: [4, 6] }, counts: null });
  });

  it('quantiles are values that occurred', () => {
    expect([0.5, 0.99, 1].map((share) => quantile(hundred, share))).to.deep.equal([50, 99, 100]);
    expect(quantile([3], 0.5)).to.equal(3);
    expect(quantile([2, 1, 3], 0.5)).to.equal(2);
  });

  it('there is a p99 from 100 repeats on, and speeds are bytes over the median', () => {
    const timings = (us: number[]) => ({ us: { dispatch: us }, counts: null });
    const raw = { naive: timings([20, 20, 19]), tuned: timings([10, 10]) };
    const figures = figuresOf({ mesh: timings(hundred), ...raw }, 'dispatch', 1_000_000);
    expect(figures).to.deep.equal({
      ...{ p50_us: 50, p99_us: 99, wire_gb_per_s: 20, raw_tcp_gb_per_s: 50, tuned_tcp_gb_per_s: 100 },
      ...{ fraction_of_raw_tcp: 0.4, fraction_of_raw_tcp_at_best: 19, fraction_of_tuned_tcp: 0.2, repeats: 100 },
    });
    expect(figuresOf({ mesh: timings(hundred.slice(1)), ...raw }, 'dispatch', 1).p99_us).to.equal(null);
  });
});
