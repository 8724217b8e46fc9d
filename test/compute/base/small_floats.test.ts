import { expect } from 'chai';
import { e4m3Values, nearestE4m3 } from '../../../compute/base/small_floats.js';

/** Finite values in ascending order, with their codes; −0 left out. */
const VALUES = [...e4m3Values().entries()]
  .filter(([code, value]) => !Number.isNaN(value) && code !== 0x80)
  .sort(([, a], [, b]) => a - b);

describe('E4M3', () => {
  it('each of its numbers is its own code, −0 too', () => {
    for (const [code, value] of VALUES) expect(nearestE4m3(value)).to.equal(code);
    expect(nearestE4m3(-0)).to.equal(0x80);
  });

  it('between two numbers the nearer one is taken, in the middle the even code', () => {
    const table = e4m3Values();
    for (let i = 1; i < VALUES.length; i++) {
      const [[low, below], [high, above]] = [VALUES[i - 1]!, VALUES[i]!];
      const middle = (below + above) / 2;
      const step = (above - below) / 1024;
      expect(table[nearestE4m3(middle - step)]).to.equal(below);
      expect(table[nearestE4m3(middle + step)]).to.equal(above);
      const even = low % 2 === 0 ? low : high;
      expect(table[nearestE4m3(middle)], String(middle)).to.equal(table[even]);
    }
  });

  it('what is beyond the largest number is that one', () => {
    expect([448, 460, 480, 1e30, -1e30].map(nearestE4m3)).to.deep.equal([0x7e, 0x7e, 0x7e, 0x7e, 0xfe]);
  });
});
