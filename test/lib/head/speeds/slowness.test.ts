import { expect } from 'chai';
import { Slowness } from '../../../../lib/head/speeds/slowness.js';

/** Windows until it counts as caught up, of a rank that is well from now on. */
function windowsUntilWell(slowness: Slowness): number {
  for (let i = 1; ; i++) if (slowness.judge(1, 2)) return i;
}

describe('whether a rank is slow', () => {
  it('is news when it falls behind, and when it is back behind half the way', () => {
    const slowness = new Slowness();
    expect([1.9, 2, 2.5, 1.6, 1.4, 1.9].map((pace) => slowness.judge(pace, 2))).to.deep.equal([
      ...[false, true, false, false, true, false],
    ]);
    expect(slowness.isSlow).to.equal(false);
  });

  it('is believed later each time that it falls behind again, up to 64 windows', () => {
    const slowness = new Slowness();
    const windows = Array.from({ length: 9 }, () => {
      expect(slowness.judge(3, 2)).to.equal(true);
      return windowsUntilWell(slowness);
    });
    expect(windows).to.deep.equal([1, 2, 4, 8, 16, 32, 64, 64, 64]);
  });

  it('counts windows in which it is well one after the other', () => {
    const slowness = new Slowness();
    for (let i = 0; i < 3; i++) {
      slowness.judge(3, 2);
      windowsUntilWell(slowness);
    }
    slowness.judge(3, 2);
    expect([1, 1, 1, 1, 1, 1, 1, 3, 1].map((pace) => slowness.judge(pace, 2))).not.to.include(true);
    expect(windowsUntilWell(slowness)).to.equal(7);
  });
});
