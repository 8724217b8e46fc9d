import { expect } from 'chai';
import { Lane } from '../../../bench/links/lane.js';

describe('a direction of a link', () => {
  it('carries what comes at once one after the other, and what comes later as late as its rate wants', () => {
    const lane = new Lane({ delayMs: 0, bytesPerSecond: 100_000 });
    expect([lane.pass(200, 0), lane.pass(50, 0), lane.pass(50, 1)]).to.deep.equal([2, 2.5, 3]);
    expect(lane.pass(100, 50)).to.equal(51); // what was free before is lost
  });

  it('has as many bytes on their way as the delay lets, at the full rate', () => {
    const lane = new Lane({ delayMs: 20, bytesPerSecond: 100_000 });
    expect([lane.pass(100, 0), lane.pass(100, 0), lane.pass(100, 5)]).to.deep.equal([21, 22, 26]);
    expect(lane.maxHeldBytes).to.be.at.least(20 * 100);
  });

  it('without a rate holds nothing up but for the delay', () => {
    const lane = new Lane({ delayMs: 5, bytesPerSecond: null });
    expect([lane.pass(1e9, 1), lane.pass(1, 1)]).to.deep.equal([6, 6]);
  });

  it('never carries more than its rate', () => {
    const lane = new Lane({ delayMs: 0, bytesPerSecond: 100_000 });
    let carried = 0;
    for (let nowMs = 0, step = 0; nowMs < 1000; step++) {
      const bytes = 1 + ((step * 7919) % 500);
      carried += bytes;
      nowMs = Math.max(nowMs, lane.pass(bytes, nowMs));
      expect(carried).to.be.at.most(100 * nowMs + 1e-6);
    }
  });
});
