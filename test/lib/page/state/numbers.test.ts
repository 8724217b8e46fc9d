import { expect } from 'chai';
import { byteRate, count, duration, percent, plural, rate, share, short } from '../../../../lib/page/state/numbers.js';

describe('numbers on the page', () => {
  for (const [text, expected] of [
    [count(9876), '9,876'],
    [count(12_345), '12.3 k'],
    [count(4_560_000), '4.56 M'],
    [rate(3.14159), '3.1'],
    [rate(1234), '1,234'],
    [duration(0.5), '0.50 ms'],
    [duration(999.7), '1.00 s'],
    [duration(null), '–'],
    [byteRate(0), '0 B/s'],
    [byteRate(1023), '1023 B/s'],
    [byteRate(1024), '1.00 KiB/s'],
    [byteRate(5 * 2 ** 30), '5.00 GiB/s'],
    [byteRate(2 ** 50), '1048576 GiB/s'],
    [percent(0.345), '35 %'],
    [percent(null), '–'],
    [share(0.987), '0.99'],
    [plural(1, 'token'), '1 token'],
    [plural(2, 'token'), '2 tokens'],
    [short('50.0 ms'), '50 ms'],
    [short('0.50'), '0.5'],
    [short('100 %'), '100 %'],
    [short('1,000'), '1,000'],
  ] as const) {
    it(`${expected} is written so`, () => expect(text).to.equal(expected));
  }
});
