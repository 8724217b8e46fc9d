import { expect } from 'chai';
import { Slowness } from '../../../../lib/head/speeds/slowness.js';

/** Windows until there is news of a rank with this pace. */
function windowsUntilNews(slowness: Slowness, pace: number): number {
  for (let i = 1; ; i++) if (slowness.judge(pace, 2)) return i;
}

describe('whether a rank is slow', () => {
  it('is news when it was behind for five windows, and when it was back behind half the way for four', () => {
    const slowness = new Slowness();
    const news = [1.9, 2, 2.5, 1.9, 2, 2, 3, 2, 2, 1.6, 1.4, 1, 1.4, 1, 1.9].map((pace) => slowness.judge(pace, 2));
    expect(news.flatMap((isNews, i) => (isNews ? [i] : []))).to.deep.equal([8, 13]);
    expect(slowness.isSlow).to.equal(false);
  });

  it('is believed later each time that it falls behind again, up to 256 windows', () => {
    const slowness = new Slowness();
    const windows = Array.from({ length: 9 }, () => {
      expect(windowsUntilNews(slowness, 3)).to.equal(5);
      return windowsUntilNews(slowness, 1);
    });
    expect(windows).to.deep.equal([4, 8, 16, 32, 64, 128, 256, 256, 256]);
  });

  it('counts windows in which it is well one after the other', () => {
    const slowness = new Slowness();
    windowsUntilNews(slowness, 3);
    expect([1, 1, 1, 1.6, 1, 1, 1].map((pace) => slowness.judge(pace, 2))).not.to.include(true);
    expect(windowsUntilNews(slowness, 1)).to.equal(1);
  });
});
