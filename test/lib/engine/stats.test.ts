import { expect } from 'chai';
import { LoadMonitor } from '../../../experts/load_monitor.js';
import { placementFrom } from '../../../experts/placement.js';
import { StatsCollector } from '../../../lib/engine/stats.js';
import type { LoadReport, StepResult } from '../../../lib/engine/step_plan.js';

describe('statistics of a job', () => {
  it('the balance is that of the ranks that are left, with what they hold', () => {
    // Expert 0 on ranks 0 and 2, expert 1 on ranks 1 and 2.
    const placement = placementFrom(0, 3, 2, [Int32Array.of(0, -1, 1, -1, 0, 1)]);
    const load = new LoadMonitor(1, 2);
    const report = { backend: 'cpu' } as LoadReport;
    const collector = new StatsCollector([report, report, report], load, placement);
    const nothing = { waitMs: [0, 0, 0], dispatchBytes: [0, 0, 0], combineBytes: [0, 0, 0] };
    const result = { outputs: [], load: [[30, 10]], phasesMs: {}, stats: nothing } as unknown as StepResult;
    collector.add([], [result, null, null], 1);
    const [all] = collector.stats().balancedness; // 15, 5 and 20
    expect(all).to.be.closeTo(40 / 3 / 20, 1e-12);
    collector.lose([0]);
    expect(collector.stats().balancedness).to.deep.equal([20 / 35]); // 5 and 35
    collector.lose([2, 0]);
    expect(collector.stats().balancedness).to.deep.equal([1]); // rank 1 alone
  });
});
