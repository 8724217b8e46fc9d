import { expect } from 'chai';
import {
  durationText,
  meanText,
  numberText,
  ratioText,
  shownUnit,
} from '../../../../lib/experiment/report/figures_text.js';
import { ratioSpreadOf, spreadOf } from '../../../../lib/experiment/summary/spread.js';

const within = (mean: number, half: number): string =>
  meanText({ n: 3, mean, stdev: 1, ci: [mean - half, mean + half], min: 0, max: 0 });

describe('figures of a report', () => {
  it('have as many digits as their interval leaves meaning to', () => {
    expect([within(1234.567, 12.34), within(1234.567, 0.0123), within(0.98765, 0.043)]).to.deep.equal([
      ...['1,235 ± 12', '1,234.567 ± 0.012', '0.988 ± 0.043'],
    ]);
    expect([within(98_765.4, 4321), within(-5, 3.21), within(0.01, 5.5)]).to.deep.equal([
      ...['98,765 ± 4,321', '−5.0 ± 3.2', '0.0 ± 5.5'],
    ]);
  });

  it('of one run, or of runs that agree, are the value alone', () => {
    expect([meanText(spreadOf([12.3456])!), meanText(spreadOf([512, 512])!)]).to.deep.equal(['12.35', '512']);
  });

  it('don’t show what sums in another order leave', () => {
    expect(meanText(spreadOf([0.3, 0.1 + 0.2])!)).to.equal('0.3000');
    expect(ratioText(ratioSpreadOf([1, 1 - 2 ** -52])!)).to.equal('1.000×');
  });

  it('far from 1 stand with a power of ten', () => {
    expect([numberText(1.234e-6), within(1.234e-6, 4e-8), numberText(3e12)]).to.deep.equal([
      ...['1.23·10⁻⁶', '(1.234 ± 0.040)·10⁻⁶', '3.00·10¹²'],
    ]);
  });

  it('are whole where they are whole', () => {
    expect([0, 7, 1_234_567, 0.5, 123.456, -0.0001].map(numberText)).to.deep.equal([
      ...['0', '7', '1,234,567', '0.5000', '123.5', '−1.00·10⁻⁴'],
    ]);
  });

  it('a ratio has its interval, and two decimals at least', () => {
    expect(ratioText(ratioSpreadOf([1.5, 1.52, 1.49])!)).to.match(/^1\.503× \[1\.466, 1\.542\]$/);
    expect([ratioText(ratioSpreadOf([2])!), ratioText(ratioSpreadOf([1, 1])!)]).to.deep.equal(['2.00×', '1×']);
    expect(ratioText(ratioSpreadOf([0.01234])!)).to.equal('0.0123×');
  });

  it('a ratio far from 1, or with ends far apart, has digits that count', () => {
    const text = (mean: number, low: number, high: number): string =>
      ratioText({ n: 3, mean, stdev: 1, ci: [low, high], min: low, max: high });
    expect([
      text(0.0012, 0.00118, 0.00122),
      text(12, 2.88e-8, 5e9),
      text(4321, 4300, 4350),
      text(2, 0, Infinity),
    ]).to.deep.equal([
      ...['0.00120× [0.00118, 0.00122]', '12.0× [2.88·10⁻⁸, 5.00·10⁹]', '4,321× [4,300, 4,350]', '2.00× [0, ∞]'],
    ]);
  });

  it('bytes of a column share a unit', () => {
    expect(shownUnit('B', [10, 3 * 1024 ** 2])).to.deep.equal({ unit: 'MiB', divisor: 1024 ** 2 });
    expect(shownUnit('B/token', [512]).unit).to.equal('B/token');
    expect(shownUnit('ms', [1e9])).to.deep.equal({ unit: 'ms', divisor: 1 });
    expect(shownUnit('B', []).unit).to.equal('B');
  });

  it('times are said as people say them', () => {
    expect([12, 1500, 59_000, 61_000, 3_900_000].map(durationText)).to.deep.equal([
      ...['12 ms', '1.5 s', '59 s', '1 min 1 s', '1 h 5 min'],
    ]);
  });
});
