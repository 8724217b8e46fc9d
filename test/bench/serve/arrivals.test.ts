import { expect } from 'chai';
import { arrivalTimes } from '../../../bench/serve/load/arrivals.js';
import { drawnLengths } from '../../../bench/serve/load/lengths.js';
import { Draws, streamOf } from '../../../bench/serve/load/streams.js';

const gapsOf = (times: readonly number[]): number[] => times.map((time, i) => time - (times[i - 1] ?? 0));
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
/** Standard deviation / mean. */
function variation(values: readonly number[]): number {
  const middle = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - middle) ** 2))) / middle;
}

describe('arrivals of a load', () => {
  it('an infinite rate sends all at once', () => {
    expect(arrivalTimes(3, { requestRate: Infinity, burstiness: 1, seed: 1 })).to.deep.equal([0, 0, 0]);
  });

  it('any seed and burstiness offer count / rate seconds of load, in ascending order', () => {
    for (const [seed, burstiness] of [
      [1, 1],
      [2, 0.3],
      [3, 5],
      [4, Infinity],
    ] as const) {
      const times = arrivalTimes(500, { requestRate: 25, burstiness, seed });
      expect(times.at(-1)).to.be.closeTo(20_000, 1e-6);
      expect(gapsOf(times).every((gap) => gap >= 0)).to.equal(true);
    }
  });

  it('gaps vary as those of the gamma distribution: by 1 / √burstiness, and not at all where it is infinite', () => {
    for (const burstiness of [0.25, 0.5, 1, 4, 16]) {
      const times = arrivalTimes(20_000, { requestRate: 10, burstiness, seed: 7 });
      expect(variation(gapsOf(times)) * Math.sqrt(burstiness)).to.be.closeTo(1, 0.05);
    }
    const even = gapsOf(arrivalTimes(50, { requestRate: 10, burstiness: Infinity, seed: 7 }));
    for (const gap of even) expect(gap).to.be.closeTo(100, 1e-6);
  });

  it('gaps with burstiness 1 are exponential: a share of e^−x is longer than x means', () => {
    const gaps = gapsOf(arrivalTimes(20_000, { requestRate: 10, burstiness: 1, seed: 3 }));
    for (const x of [0.5, 1, 2]) {
      expect(gaps.filter((gap) => gap > 100 * x).length / gaps.length).to.be.closeTo(Math.exp(-x), 0.015);
    }
  });

  it('the same seed gives the same times, another seed others', () => {
    const times = (seed: number): number[] => arrivalTimes(20, { requestRate: 2, burstiness: 0.5, seed });
    expect(times(5)).to.deep.equal(times(5));
    expect(times(5)).to.not.deep.equal(times(6));
  });
});

describe('drawn numbers of a load', () => {
  it('lengths stay within mean × (1 ± ratio), reach both ends, and are at least 1', () => {
    const lengths = drawnLengths(5000, 10, 0.5, 1, 'input lengths');
    expect([Math.min(...lengths), Math.max(...lengths)]).to.deep.equal([5, 15]);
    expect(mean(lengths)).to.be.closeTo(10, 0.2);
    expect(drawnLengths(3, 10, 0, 1, 'input lengths')).to.deep.equal([10, 10, 10]);
    expect(Math.min(...drawnLengths(1000, 1, 0.9, 1, 'output lengths'))).to.equal(1);
  });

  it('gamma draws have the mean and the variance of their shape', () => {
    for (const shape of [0.3, 1, 7]) {
      const draws = new Draws(1, streamOf('arrivals'));
      const values = Array.from({ length: 20_000 }, () => draws.gamma(shape));
      expect(mean(values) / shape).to.be.closeTo(1, 0.05);
      expect(variation(values) * Math.sqrt(shape)).to.be.closeTo(1, 0.05);
    }
  });

  it('each purpose has a stream of its own', () => {
    const first = (purpose: 'bodies' | 'prefixes', index: number): number =>
      new Draws(1, streamOf(purpose, index)).next();
    expect(new Set([first('bodies', 0), first('bodies', 1), first('prefixes', 0), first('prefixes', 1)]).size).to.equal(
      4,
    );
  });
});
