import { expect } from 'chai';
import {
  hueOf,
  inkOn,
  loadColors,
  luminanceOf,
  sequentialColor,
  type Rgb,
} from '../../../../lib/page/state/palette.js';

const SHARES = Array.from({ length: 101 }, (_, i) => i / 100);

/** WCAG's contrast of two colours. */
function contrast(a: Rgb, b: Rgb): number {
  const [low, high] = [luminanceOf(a), luminanceOf(b)].sort((x, y) => x - y) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

describe('colours of numbers', () => {
  for (const isDark of [false, true]) {
    const ground = isDark ? 'dark' : 'light';

    it(`on a ${ground} ground more is always further from the ground in lightness, which everybody sees`, () => {
      const lights = SHARES.map((share) => luminanceOf(sequentialColor(share, isDark)));
      const rises = lights.slice(1).map((light, i) => (isDark ? light - lights[i]! : lights[i]! - light));
      expect(Math.min(...rises)).to.be.above(0);
    });

    it(`text on every colour of a ${ground} ground has 4.5 : 1`, () => {
      const least = SHARES.map((share) => {
        const color = sequentialColor(share, isDark);
        return contrast(color, inkOn(color) === '#000' ? [0, 0, 0] : [255, 255, 255]);
      });
      expect(Math.min(...least)).to.be.at.least(4.5);
    });

    it(`a byte of the map has the colour of the share that it is the root of, on a ${ground} ground`, () => {
      const table = loadColors(isDark);
      for (const byte of [0, 1, 128, 255]) {
        expect([...table.slice(4 * byte, 4 * byte + 4)]).to.deep.equal([
          ...sequentialColor((byte / 255) ** 2, isDark),
          255,
        ]);
      }
    });
  }

  it('neighbouring experts have hues far from each other', () => {
    for (let expert = 0; expert < 255; expert++) {
      const apart = Math.abs(hueOf(expert) - hueOf(expert + 1));
      expect(Math.min(apart, 360 - apart)).to.be.above(90);
    }
  });
});
