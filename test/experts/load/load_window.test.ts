import { expect } from 'chai';
import { ExpertError } from '../../../compute/base/errors.js';
import { LoadWindow } from '../../../experts/load/load_window.js';
import { randomFrom } from '../../../experts/routing/random.js';
import { errorOf } from '../../kit/rejects.js';

const [numLayers, numExperts] = [2, 5];

/** Σ of decay^age · load over the last `windowSize` steps, from the whole history. */
function slowly(history: readonly number[][][], windowSize: number, decay: number): number[][] {
  const sums = Array.from({ length: numLayers }, () => new Array<number>(numExperts).fill(0));
  history.forEach((load_LE, step) => {
    const age = history.length - 1 - step;
    if (age >= windowSize) return;
    load_LE.forEach((load_E, l) => load_E.forEach((load, e) => (sums[l]![e]! += load * decay ** age)));
  });
  return sums;
}

describe('load window', () => {
  for (const windowSize of [1, 3, 16, Infinity]) {
    for (const decay of [1, 0.9, 0.25]) {
      it(`the last ${windowSize} steps with decay ${decay} are those of the slow reference, at every step`, () => {
        const random = randomFrom(7);
        const window = new LoadWindow({ numLayers, numExperts, windowSize, decay });
        const history: number[][][] = [];
        for (let step = 0; step < 60; step++) {
          const load_LE = Array.from({ length: numLayers }, () =>
            Array.from({ length: numExperts }, () => Math.floor(random() * random() * 900)),
          );
          history.push(load_LE);
          window.push(load_LE);
          const expected = slowly(history, windowSize, decay);
          expect(window.numSteps).to.equal(Math.min(step + 1, windowSize));
          expected.forEach((expected_E, l) =>
            expected_E.forEach((load, e) => {
              const got = window.load_LE[l]![e]!;
              if (decay === 1) expect(got).to.equal(load);
              else expect(got).to.be.closeTo(load, 1e-9 * (1 + load));
            }),
          );
        }
      });
    }
  }

  it('a load that stops leaves nothing behind, and never less than nothing', () => {
    for (const decay of [1, 0.7]) {
      const window = new LoadWindow({ numLayers: 1, numExperts: 1, windowSize: 4, decay });
      for (let step = 0; step < 50; step++) window.push([[step < 20 ? 1 + step : 0]]);
      expect(window.load_LE[0]![0]).to.be.within(0, 1e-12);
    }
  });

  it('refuses windows and decays that make no sense, with the number', async () => {
    for (const [options, words] of [
      [{ windowSize: 0 }, /windowSize is 0;/],
      [{ windowSize: 1.5 }, /windowSize is 1.5;/],
      [{ windowSize: NaN }, /windowSize is NaN;/],
      [{ windowSize: 2 ** 30 }, /1073741824 steps of 2 layers of 5 experts are more than/],
      [{ windowSize: 4, decay: 0 }, /decay is 0;/],
      [{ windowSize: 4, decay: 1.01 }, /decay is 1.01;/],
      [{ windowSize: 4, decay: NaN }, /decay is NaN;/],
    ] as const) {
      const error = await errorOf(ExpertError, () => new LoadWindow({ numLayers, numExperts, ...options }));
      expect(error.code).to.equal('INVALID_ARGUMENT');
      expect(error.message).to.match(words);
    }
  });
});
