import { expect } from 'chai';
import type { ExperimentPlan } from '../../../../lib/experiment/base/experiment.js';
import { durationText, estimateOf } from '../../../../lib/experiment/file/estimate.js';

const planOf = (parallel: number): ExperimentPlan =>
  ({
    experiment: { timeoutMs: 60_000, parallel },
    runs: ['a', 'b', 'a', 'b'].map((name, i) => ({ id: `${i}`, point: { name } })),
  }) as unknown as ExperimentPlan;
const row = (id: string, name: string, ms: number) => ({ id, point: { name }, duration_ms: ms, status: 'ok' as const });

describe('the estimate of an experiment', () => {
  it('is the time limit of all runs where nothing is known', () => {
    expect(estimateOf(planOf(1), [])).to.deep.equal({ numRuns: 4, numLeft: 4, leftMs: 240_000, isBound: true });
  });

  it('is what runs of the same point took, and else what all took', () => {
    const one = [row('0', 'a', 1000)];
    expect(estimateOf(planOf(1), one)).to.deep.equal({ numRuns: 4, numLeft: 3, leftMs: 3000, isBound: false });
    const both = [...one, row('1', 'b', 5000)];
    expect(estimateOf(planOf(1), both)).to.deep.equal({ numRuns: 4, numLeft: 2, leftMs: 6000, isBound: false });
  });

  it('learns nothing from runs that failed: they are done, and may have ended at once', () => {
    const failed = { ...row('0', 'a', 10), status: 'failed' as const };
    expect(estimateOf(planOf(1), [failed])).to.include({ numLeft: 3, leftMs: 180_000, isBound: true });
    expect(estimateOf(planOf(1), [failed, row('2', 'a', 2000)])).to.include({ numLeft: 2, leftMs: 4000 });
  });

  it('knows of runs at a time', () => {
    expect(estimateOf(planOf(2), [row('x', 'a', 1000)]).leftMs).to.equal(2000);
    expect(estimateOf(planOf(64), [row('x', 'a', 1000), row('y', 'b', 7000)]).leftMs).to.equal(7000);
  });

  it('never goes beyond the time limit, and is nothing when all is done', () => {
    expect(estimateOf(planOf(1), [row('x', 'a', 90_000)]).leftMs).to.equal(240_000);
    const all = ['0', '1', '2', '3'].map((id) => row(id, 'a', 1000));
    expect(estimateOf(planOf(1), all)).to.deep.equal({ numRuns: 4, numLeft: 0, leftMs: 0, isBound: false });
  });

  it('is told in two units', () => {
    const told = [400, 1000, 59_499, 60_000, 61_000, 9_000_000, 90_000_000, 86_400_000].map(durationText);
    expect(told).to.deep.equal(['< 1 s', '1 s', '59 s', '1 min', '1 min 1 s', '2 h 30 min', '1 d 1 h', '1 d']);
  });
});
