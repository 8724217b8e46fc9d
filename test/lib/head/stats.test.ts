import { expect } from 'chai';
import { STEP_PHASES } from '../../../compute/base/stopwatch.js';
import { StatsCollector } from '../../../lib/head/stats.js';
import type { LoadReport, StepResult } from '../../../lib/protocol/step_plan.js';

const REPORT = { backend: 'cpu', residence: { compute: 'tensors', experts: 'bf16', dense: 'auto' } } as LoadReport;

describe('statistics of a job', () => {
  it('name each backend and each kind of compute once, in the order of the ranks', () => {
    const window = { numLayers: 1, numExperts: 2, windowSize: 4 };
    const kernels = { ...REPORT, backend: 'wasm', residence: { ...REPORT.residence, compute: 'kernels' as const } };
    const of = (...reports: LoadReport[]) => new StatsCollector(reports, window).stats();
    expect(of(REPORT, REPORT)).to.include({ backend: 'cpu', compute: 'tensors' });
    expect(of(kernels, REPORT, kernels)).to.include({ backend: 'wasm + cpu', compute: 'kernels + tensors' });
  });

  it('tell the time of each rank, and of the last step what each rank computed', () => {
    const collector = new StatsCollector([REPORT, REPORT], { numLayers: 1, numExperts: 2, windowSize: 4 });
    const nothing = { waitMs: [0, 0], dispatchBytes: [0, 0], combineBytes: [0, 0] };
    const of = (experts: number, rankLoad: readonly number[]): StepResult => {
      const zeros = Object.fromEntries(STEP_PHASES.map((phase) => [phase, 0]));
      const result = {
        outputs: [],
        load: [[1, 0]],
        rankLoad: [rankLoad],
        phasesMs: { ...zeros, experts },
        stats: nothing,
      };
      return result as unknown as StepResult;
    };
    collector.add([], [of(3, [1, 2]), of(5, [10, 20])], 1);
    collector.add([], [of(4, [3, 0]), null], 1); // the second was lost
    const { rankPhasesMs, phasesMs } = collector.stats();
    expect(rankPhasesMs.map(({ experts }) => experts)).to.deep.equal([7, 5]);
    expect(phasesMs.experts).to.equal(8);
    expect(collector.stepRankLoad_LR).to.deep.equal([Float64Array.of(3, 0)]);
  });

  it('the balance is that of what ranks computed, of those that are left, since the last loss', () => {
    const window = { numLayers: 1, numExperts: 2, windowSize: 4 };
    const collector = new StatsCollector([REPORT, REPORT, REPORT], window);
    const nothing = { waitMs: [0, 0, 0], dispatchBytes: [0, 0, 0], combineBytes: [0, 0, 0] };
    const add = (...rankLoad: readonly number[]): void => {
      const result = { outputs: [], load: [[30, 10]], rankLoad: [rankLoad], phasesMs: {}, stats: nothing };
      collector.add([], [result as unknown as StepResult, null, null], 1);
    };
    add(10, 5, 5);
    add(5, 0, 15);
    expect(collector.stats()).to.deep.include({
      rankLoad: [Float64Array.of(15, 5, 20)],
      makespan: [25], // 10 in the first step, 15 in the second
      balancedness: [40 / 3 / 20],
    });
    collector.lose([0]);
    expect(collector.stats().balancedness).to.deep.equal([1]); // nothing computed since
    add(0, 5, 35);
    expect(collector.stats()).to.deep.include({
      rankLoad: [Float64Array.of(0, 5, 35)],
      makespan: [35],
      balancedness: [20 / 35],
    });
    collector.lose([2, 0]);
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
