import { expect } from 'chai';
import fc from 'fast-check';
import { bar, bytes, sparkline, table } from '../../../lib/metrics/charts.js';

describe('charts', () => {
  it('a sparkline has one level per value, from ▁ for 0 to █ for the highest', () => {
    expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7, 8])).to.equal('▁▂▃▄▅▆▇██');
    expect(sparkline(Float64Array.of(5))).to.equal('█');
    expect(sparkline([0, 0])).to.equal('▁▁');
    expect(sparkline([])).to.equal('');
  });

  it('a sparkline can share its scale with others', () => {
    expect(sparkline([1, 2], 8)).to.equal('▂▃');
    expect(sparkline([16], 8)).to.equal('█');
  });

  it('a bar is as long as its share of the width, in eighths', () => {
    expect(bar(10, 10, 4)).to.equal('████');
    expect(bar(5, 10, 4)).to.equal('██');
    expect(bar(1, 8, 1)).to.equal('▏');
    expect(bar(7, 8, 1)).to.equal('▉');
    expect(bar(3, 16, 4)).to.equal('▊');
    expect(bar(0, 10, 4)).to.equal('');
    expect(bar(0, 0, 4)).to.equal('');
  });

  it('a bar never exceeds the width nor shrinks as its value grows', () => {
    const eighths = (text: string): number =>
      Array.from(text).reduce((sum, c) => sum + (c === '█' ? 8 : ' ▏▎▍▌▋▊▉'.indexOf(c)), 0);
    fc.assert(
      fc.property(fc.nat(1000), fc.nat(1000), fc.integer({ min: 1, max: 40 }), (a, b, width) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)];
        expect(eighths(bar(low, 1000, width))).to.be.at.most(eighths(bar(high, 1000, width)));
        expect(Array.from(bar(high, 1000, width)).length).to.be.at.most(width);
      }),
    );
  });

  it('bytes take the unit that leaves less than 1024', () => {
    const cases: [number, string][] = [
      [0, '0 B'],
      [1023, '1023 B'],
      [1024, '1.0 KiB'],
      [1536, '1.5 KiB'],
      [2 ** 20 - 1, '1.0 MiB'],
      [5 * 2 ** 20, '5.0 MiB'],
      [1.75 * 2 ** 30, '1.8 GiB'],
      [3 * 2 ** 40, '3.0 TiB'],
      [2 ** 51, '2048.0 TiB'],
    ];
    for (const [count, text] of cases) expect(bytes(count)).to.equal(text);
  });

  it('a table aligns the first column left and the others right, without spaces at the ends of lines', () => {
    const rows = [
      ['name', 'tokens', 's'],
      ['é', '7', '1.25'],
      ['longer', '12345', ''],
    ];
    expect(table(rows)).to.equal('name    tokens     s\né            7  1.25\nlonger   12345');
  });
});
