import { expect } from 'chai';
import fc from 'fast-check';
import { ratioSpreadOf, spreadOf } from '../../../../lib/experiment/summary/spread.js';
import { twoSidedT } from '../../../../lib/experiment/summary/student.js';
import { twoSidedTRef } from '../../../refs/student_ref.js';

/** Of any table of critical values, two-sided: degrees of freedom, 90 %, 95 %, 99 %. */
const TABLE = [
  [1, 6.314, 12.706, 63.657],
  [2, 2.92, 4.303, 9.925],
  [3, 2.353, 3.182, 5.841],
  [4, 2.132, 2.776, 4.604],
  [5, 2.015, 2.571, 4.032],
  [7, 1.895, 2.365, 3.499],
  [10, 1.812, 2.228, 3.169],
  [15, 1.753, 2.131, 2.947],
  [20, 1.725, 2.086, 2.845],
  [29, 1.699, 2.045, 2.756],
  [30, 1.697, 2.042, 2.75],
  [60, 1.671, 2, 2.66],
  [120, 1.658, 1.98, 2.617],
] as const;

const finite = fc.double({ min: -1e6, max: 1e6, noNaN: true });
const positive = fc.double({ min: 1e-3, max: 1e3, noNaN: true });

describe('spreads of measurements', () => {
  it('t is that of the published tables', () => {
    for (const [numFreedoms, ...critical] of TABLE) {
      const found = [0.9, 0.95, 0.99].map((share) => Number(twoSidedT(numFreedoms, share).toFixed(3)));
      expect(found, `${numFreedoms} degrees of freedom`).to.deep.equal(critical);
    }
  });

  it('t is what integrating the density gives, and in the end the normal distribution’s', () => {
    for (const numFreedoms of [1, 2, 3, 6, 11, 40]) {
      expect(twoSidedT(numFreedoms, 0.95)).to.be.closeTo(twoSidedTRef(numFreedoms, 0.95), 1e-8);
    }
    expect(twoSidedT(100_000, 0.95)).to.be.closeTo(1.959988, 1e-5);
  });

  it('a textbook sample has its mean, deviation and interval', () => {
    const { ci, ...rest } = spreadOf([2, 4, 4, 4, 5, 5, 7, 9])!;
    expect(rest.stdev).to.be.closeTo(2.13809, 1e-5);
    expect({ ...rest, stdev: 0 }).to.deep.equal({ n: 8, mean: 5, stdev: 0, min: 2, max: 9 });
    expect(ci![0]).to.be.closeTo(5 - 1.78749, 1e-4);
    expect(ci![1]).to.be.closeTo(5 + 1.78749, 1e-4);
  });

  it('one value has no interval, equal ones one of no width, none no spread', () => {
    expect(spreadOf([0.1])).to.deep.equal({ n: 1, mean: 0.1, stdev: 0, ci: null, min: 0.1, max: 0.1 });
    expect(spreadOf([0.1, 0.1, 0.1])).to.deep.equal({ n: 3, mean: 0.1, stdev: 0, ci: [0.1, 0.1], min: 0.1, max: 0.1 });
    expect([spreadOf([]), ratioSpreadOf([])]).to.deep.equal([null, null]);
  });

  it('an interval holds its mean, moves with what is added and grows with what is multiplied', () => {
    fc.assert(
      fc.property(fc.array(finite, { minLength: 2, maxLength: 12 }), (values) => {
        const { mean, ci } = spreadOf(values)!;
        const moved = spreadOf(values.map((value) => 2 * value + 1))!;
        expect(ci![0] <= mean && mean <= ci![1]).to.equal(true);
        expect(moved.ci![0]).to.be.closeTo(2 * ci![0] + 1, 1e-3);
      }),
    );
  });

  it('95 of 100 intervals hold what they are about', () => {
    let seed = 1;
    const uniform = (): number => (seed = (seed * 48271) % 2147483647) / 2147483647;
    const normal = (): number => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    const numHolding = Array.from({ length: 4000 }, () => {
      const [low, high] = spreadOf([normal(), normal(), normal()])!.ci!;
      return low <= 0 && 0 <= high ? 1 : 0;
    }).reduce<number>((sum, holds) => sum + holds, 0);
    expect(numHolding / 4000).to.be.closeTo(0.95, 0.012);
  });

  it('twice and half make one; turned over, a ratio is turned over', () => {
    expect(ratioSpreadOf([2, 0.5])!.mean).to.be.closeTo(1, 1e-12);
    fc.assert(
      fc.property(fc.array(positive, { minLength: 2, maxLength: 6 }), (ratios) => {
        const [there, back] = [ratioSpreadOf(ratios)!, ratioSpreadOf(ratios.map((ratio) => 1 / ratio))!];
        expect(there.mean * back.mean).to.be.closeTo(1, 1e-9);
        expect(Math.log(there.ci![0]) + Math.log(back.ci![1])).to.be.closeTo(0, 1e-6);
      }),
    );
  });
});
