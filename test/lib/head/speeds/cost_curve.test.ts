import { expect } from 'chai';
import { CostCurve } from '../../../../lib/head/speeds/cost_curve.js';

describe('the cost of work', () => {
  it('is a time that each step takes and one per unit of work, found from different amounts', () => {
    const curve = new CostCurve();
    for (const work of [4, 9, 30]) curve.add([{ work, ms: 2 + 0.5 * work }]);
    expect(curve.msOf(0)).to.be.closeTo(2, 1e-9);
    expect(curve.msOf(100)).to.be.closeTo(52, 1e-9);
  });

  it('of equal amounts is in proportion to them: nothing tells otherwise', () => {
    const curve = new CostCurve();
    for (const ms of [3, 5, 4]) curve.add([{ work: 8, ms }]);
    expect(curve.msOf(16)).to.be.closeTo(2 * curve.msOf(8), 1e-9);
  });

  it('has no negative part, whatever is measured', () => {
    const steep = new CostCurve();
    steep.add([
      { work: 10, ms: 1 },
      { work: 20, ms: 4 },
    ]);
    const falling = new CostCurve();
    falling.add([
      { work: 10, ms: 4 },
      { work: 20, ms: 1 },
    ]);
    for (const curve of [steep, falling]) {
      expect(curve.msOf(0)).to.be.at.least(0);
      expect(curve.msOf(1000)).to.be.at.least(curve.msOf(0));
    }
    expect(falling.msOf(1000)).to.equal(falling.msOf(0));
  });

  it('follows what is measured now: a time that changed is the new one after some windows', () => {
    const curve = new CostCurve();
    for (let i = 0; i < 50; i++) curve.add([{ work: 10, ms: 1 }]);
    for (let i = 0; i < 100; i++) curve.add([{ work: 10, ms: 3 }]);
    expect(curve.msOf(10)).to.be.within(2.7, 3);
  });
});
