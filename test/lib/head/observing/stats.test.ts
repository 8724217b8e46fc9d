import { expect } from 'chai';
import { STEP_PHASES } from '../../../../compute/base/stopwatch.js';
import { createPlacement } from '../../../../experts/placement/placement.js';
import { LoadWindow } from '../../../../experts/load/load_window.js';
import { StatsCollector } from '../../../../lib/head/observing/stats.js';
import { observedStep, type ObservedStep } from '../../../../lib/head/observing/step_observer.js';
import { firstMembers } from '../../../../lib/job/members.js';
import { EngineError } from '../../../../lib/protocol/errors.js';
import { epochOf } from '../../../kit/engine/epochs.js';
import type { LoadReport, StepPlan, StepResult } from '../../../../lib/protocol/step_plan.js';

const REPORT = { backend: 'cpu', residence: { compute: 'tensors', experts: 'bf16', dense: 'auto' } } as LoadReport;

const jobOf = (...reports: LoadReport[]) => ({
  reports,
  numSeats: reports.length,
  members: firstMembers(reports.keys()),
  spares: [],
});

const SHAPE = { numLayers: 1, numExperts: 2 };
const windowOf = (): LoadWindow => new LoadWindow({ ...SHAPE, windowSize: 4 });

/** A step of one millisecond; a rank that was lost has no result. */
function stepOf(...results: readonly (object | null)[]): ObservedStep {
  const placement = createPlacement('linear', { ...SHAPE, numRanks: results.length });
  const plans = results.map(() => ({ step: 1, parts: [] }) as unknown as StepPlan);
  return observedStep({ plans, results: results as (StepResult | null)[], numTokens: 0, stepMs: 1, placement });
}

describe('statistics of a job', () => {
  it('name each backend and each kind of compute once, in the order of the ranks', () => {
    const kernels = { ...REPORT, backend: 'wasm', residence: { ...REPORT.residence, compute: 'kernels' as const } };
    const of = (...reports: LoadReport[]) => new StatsCollector(jobOf(...reports), SHAPE, windowOf()).stats();
    expect(of(REPORT, REPORT)).to.include({ backend: 'cpu', compute: 'tensors' });
    expect(of(kernels, REPORT, kernels)).to.include({ backend: 'wasm + cpu', compute: 'kernels + tensors' });
  });

  it('tell the time of each rank, and of the last step what each rank computed', () => {
    const collector = new StatsCollector(jobOf(REPORT, REPORT), SHAPE, windowOf());
    const nothing = { waitMs: [0, 0], dispatchBytes: [0, 0], combineBytes: [0, 0] };
    const zeros = Object.fromEntries(STEP_PHASES.map((phase) => [phase, 0]));
    const of = (experts: number, rankLoad: readonly number[]): object => ({
      outputs: [],
      load: [[1, 0]],
      rankLoad: [rankLoad],
      phasesMs: { ...zeros, experts },
      stats: nothing,
    });
    collector.observe(stepOf(of(3, [1, 2]), of(5, [10, 20])));
    const last = stepOf(of(4, [3, 0]), null); // the second was lost
    collector.observe(last);
    const { rankPhasesMs, phasesMs } = collector.stats();
    expect(rankPhasesMs.map(({ experts }) => experts)).to.deep.equal([7, 5]);
    expect(phasesMs.experts).to.equal(8);
    expect(last.rankLoad_LR).to.deep.equal([Float64Array.of(3, 0)]);
  });

  it('tell what became of each rank, and sum up what all did who had a seat', () => {
    const collector = new StatsCollector({ ...jobOf(REPORT, REPORT), numSeats: 3 }, SHAPE, windowOf());
    const zeros = Object.fromEntries(STEP_PHASES.map((phase) => [phase, 0]));
    const of = (dispatchBytes: readonly number[]): object => ({
      ...{ outputs: [], load: [[1, 1]], rankLoad: [[1, 1, 0]], phasesMs: zeros },
      stats: { waitMs: [0, 5, 0], dispatchBytes, combineBytes: [0, 0, 0] },
    });
    collector.observe(stepOf(of([0, 10, 0]), of([20, 0, 0]), null));
    collector.enter(epochOf([0], { lost: [{ rank: 1, error: new EngineError('RANK_LOST', 'it ended') }] }));
    expect(collector.stats()).to.deep.include({ numRanks: 2, rankStates: ['present', 'lost'], lostRanks: [1] });
    collector.enter(epochOf([0, 1], { epoch: 2, joined: [1] }));
    collector.observe(stepOf(of([0, 4, 0]), of([30, 0, 0]), null));
    expect(collector.stats()).to.deep.include({
      ...{ rankStates: ['present', 'present'], lostRanks: [], epoch: 2 },
      dispatchBytes: [
        [0, 14],
        [50, 0],
      ],
      waitMs: [
        [0, 0],
        [5, 10],
      ],
    });
  });

  it('the balance is that of what ranks computed, of those that are left, since the last loss', () => {
    const window = windowOf();
    const collector = new StatsCollector(jobOf(REPORT, REPORT, REPORT), SHAPE, window);
    const nothing = { waitMs: [0, 0, 0], dispatchBytes: [0, 0, 0], combineBytes: [0, 0, 0] };
    const add = (...rankLoad: readonly number[]): void => {
      const result = { outputs: [], load: [[30, 10]], rankLoad: [rankLoad], phasesMs: {}, stats: nothing };
      const step = stepOf(result, null, null);
      window.push(step.load_LE);
      collector.observe(step);
    };
    add(10, 5, 5);
    add(5, 0, 15);
    expect(collector.stats()).to.deep.include({
      rankLoad: [Float64Array.of(15, 5, 20)],
      makespan: [25], // 10 in the first step, 15 in the second
      balancedness: [40 / 3 / 20],
    });
    collector.enter(epochOf([1, 2]));
    expect(collector.stats().balancedness).to.deep.equal([1]); // nothing computed since
    add(0, 5, 35);
    expect(collector.stats()).to.deep.include({
      rankLoad: [Float64Array.of(0, 5, 35)],
      makespan: [35],
      balancedness: [20 / 35],
    });
    collector.enter(epochOf([1]));
    add(0, 40, 0);
    expect(collector.stats().balancedness).to.deep.equal([1]); // rank 1 alone
    expect(collector.stats().expertLoad).to.deep.equal([Float64Array.of(120, 40)]);
    expect(collector.stats().windowLoad).to.deep.equal([Float64Array.of(120, 40)]);
    expect(collector.stats().balanceOverTime.map(({ meanLoad, maxLoad }) => meanLoad / maxLoad)).to.deep.equal([
      20 / 3 / 10,
      20 / 3 / 15,
      20 / 35,
      1,
    ]);
  });
});
