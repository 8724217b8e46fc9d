import { expect } from 'chai';
import { FAULT_KINDS, MOMENTS, takesRank, type FaultCounts } from '../../../../bench/chaos/plan/fault.js';
import { faultPlan, type FaultPlanOptions } from '../../../../bench/chaos/plan/fault_plan.js';

const COUNTS: FaultCounts = { kill: 3, stop: 2, slow: 1, cut: 1, silence: 1, leave: 1, join: 6, abort: 2 };
const OPTIONS: FaultPlanOptions = {
  ...{ seed: 1, counts: COUNTS, numRanks: 3, maxRanks: 4, minRanks: 1, moments: MOMENTS },
  ...{ gapTokens: 100, stopMs: 1000, slowMs: 500 },
};
const SEEDS = Array.from({ length: 200 }, (_, seed) => seed);

describe('a plan of faults', () => {
  it('is the same for one seed, and has all that was asked for', () => {
    expect(faultPlan(OPTIONS)).to.deep.equal(faultPlan(OPTIONS));
    const orders = new Set(SEEDS.map((seed) => JSON.stringify(faultPlan({ ...OPTIONS, seed }))));
    expect(orders.size).to.equal(SEEDS.length);
    const plan = faultPlan(OPTIONS)!;
    for (const kind of FAULT_KINDS) expect(plan.filter((fault) => fault.kind === kind)).to.have.length(COUNTS[kind]);
  });

  it('never takes the last rank nor fills more seats than there are, were each fault to take a rank', () => {
    for (const seed of SEEDS) {
      let numRanks = OPTIONS.numRanks;
      for (const fault of faultPlan({ ...OPTIONS, seed }) ?? []) {
        numRanks += fault.kind === 'join' ? 1 : takesRank(fault) ? -1 : 0;
        expect(numRanks).to.be.within(1, 4);
      }
    }
  });

  it('what comes with another fault comes behind one that has such a moment', () => {
    const plans = SEEDS.map((seed) => faultPlan({ ...OPTIONS, seed }) ?? []);
    const pairs = plans.flatMap((plan) => plan.map((fault, i) => ({ fault, before: plan[i - 1] })));
    for (const { fault, before } of pairs) {
      if (fault.when === 'joining') expect(before!.kind).to.be.oneOf(['join', 'abort']);
      if (fault.when === 'recovering') expect(takesRank(before!)).to.equal(true);
      if (fault.when === 'together') expect(before).to.not.equal(undefined);
    }
    expect(new Set(pairs.map(({ fault }) => fault.when)).size).to.equal(MOMENTS.length);
  });

  it('ranks are stopped for less than the time in which they are missed, and for more', () => {
    const stops = SEEDS.flatMap((seed) => faultPlan({ ...OPTIONS, seed }) ?? []).filter(({ kind }) => kind === 'stop');
    expect(Math.min(...stops.map(({ ms }) => ms))).to.be.within(250, 300);
    expect(Math.max(...stops.map(({ ms }) => ms))).to.be.within(1200, 1250);
  });

  it('that no order allows is none', () => {
    expect(faultPlan({ ...OPTIONS, counts: { ...COUNTS, kill: 4 } })).to.equal(null);
    expect(faultPlan({ ...OPTIONS, counts: { ...COUNTS, join: 10 } })).to.equal(null);
  });
});
