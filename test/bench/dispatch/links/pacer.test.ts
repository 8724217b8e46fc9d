import { expect } from 'chai';
import { Pacer } from '../../../../bench/dispatch/links/pacer.js';

describe('a paced link', () => {
  const pacer = (): Pacer => new Pacer({ bytesPerMs: 100, burstMs: 3 });

  it('carries what comes at once one after the other', () => {
    const link = pacer();
    link.pass(300, 0); // uses the burst up
    expect([link.pass(200, 0), link.pass(50, 0), link.pass(50, 1)]).to.deep.equal([2, 2.5, 3]);
  });

  it('catches up with what late timers missed, but no further than the burst', () => {
    const link = pacer();
    link.pass(300, 0);
    expect(link.pass(100, 2)).to.equal(1); // two milliseconds late: the link had time for it
    expect(link.pass(100, 50)).to.equal(48); // an idle link saves up three milliseconds only
  });

  it('never carries more than its rate and one burst', () => {
    const link = pacer();
    let carried = 0;
    for (let nowMs = 0, step = 0; nowMs < 1000; step++) {
      const bytes = 1 + ((step * 7919) % 500);
      carried += bytes;
      nowMs = Math.max(nowMs, link.pass(bytes, nowMs));
      expect(carried).to.be.at.most(100 * (nowMs + 3) + 1e-6);
    }
  });
});
