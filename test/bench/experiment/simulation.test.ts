import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LoadRecorder } from '../../../experts/load/load_recorder.js';
import { windowsOf } from '../../../bench/experiment/base/windows.js';
import { judge } from '../../../bench/eplb/judge.js';
import { changingTraffic } from '../../../bench/eplb/loads.js';
import { simulationMeasure, simulationOf } from '../../../lib/experiment/measures/simulation.js';
import { countsOf, measured, plannedRun, type RunOptions } from '../../kit/experiment/planned_run.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const MOE_7M: RunOptions = {
  workload: { load: 'moe_7m', windows: 6 },
  set: ['parallel.ranks=4', 'load_balance.planner=eplb'],
};

const metricsOf = async (options: RunOptions, more: RunOptions = {}) => {
  const run = await plannedRun('simulation', {
    ...options,
    ...more,
    workload: { ...options.workload, ...more.workload },
    set: [...(options.set ?? []), ...(more.set ?? [])],
  });
  await simulationMeasure.check!(run, null);
  return { run, ...(await measured(run)).result };
};

describe('measure: simulation', () => {
  it('judges a plan on the next window as the benchmark of planners does', async () => {
    const { metrics } = await metricsOf(MOE_7M, { workload: { windows: 2 } });
    const topology = { numRanks: 4, numSlots: 32 };
    const row = judge({ name: 'moe-7m', topology, windows: changingTraffic(2, 1) }, 'eplb');
    expect(metrics.balancedness).to.be.closeTo(row.next_balanced, 1e-12);
    expect(metrics.balancedness_now).to.be.closeTo(row.now_balanced, 1e-12);
    expect(metrics).to.include({ first_moved_slots: row.first_moved_slots, plans: 1, slots_per_rank: 8 });
  });

  it('two runs of a seed are the same to the last digit, and each metric that is declared is there', async () => {
    const [one, other] = [await metricsOf(MOE_7M), await metricsOf(MOE_7M)];
    expect(countsOf(one.run, one)).to.deep.equal(countsOf(other.run, other));
    expect(Object.keys(one.metrics)).to.have.members(Object.keys(simulationMeasure.metricsOf({} as never)));
    const seeded = await metricsOf(MOE_7M, { seed: 2 });
    expect(seeded.metrics.placements_sha256).not.to.equal(one.metrics.placements_sha256);
  });

  it('what nothing moves stays as it was; redundancy and planning gain over it', async () => {
    const linear = await metricsOf(MOE_7M, { set: ['load_balance.planner=linear'] });
    expect(linear.metrics).to.include({ plans: 0, moved_slots: 0, predicted_gain: 1, moved_bytes: null });
    expect(linear.metrics.balancedness).to.equal(linear.metrics.balancedness_first);
    const planned = await metricsOf(MOE_7M, {
      set: ['experts.num_redundant_experts=8'],
      workload: { expert_bytes: 10 },
    });
    expect(planned.metrics.balancedness).to.be.above(linear.metrics.balancedness as number);
    expect(planned.metrics.predicted_gain).to.be.above(1);
    expect(planned.metrics).to.include({ plans: 5, slots_per_rank: 10 });
    expect(planned.metrics.moved_bytes).to.be.above(0);
  });

  it('plans once, after each window, or where it gains what an engine wants gained', async () => {
    const drift: RunOptions = {
      workload: { load: 'drift', layers: 2, experts: 16, windows: 8 },
      set: ['parallel.ranks=4'],
    };
    const plans = async (replan: string, minGain: number) =>
      (
        await metricsOf(drift, {
          settings: { replan },
          set: [`load_balance.min_gain=${minGain}`, 'load_balance.planner=eplb'],
        })
      ).metrics.plans;
    expect(await plans('once', 0)).to.equal(1);
    expect(await plans('window', 0)).to.equal(7);
    expect(await plans('gain', 1)).to.equal(0);
  });

  it('takes windows of a recording', () =>
    withTempFolder(async (folder) => {
      const file = join(folder, 'load.jsonl.gz');
      const header = {
        mode: 'per_pass',
        model: 'm',
        numLayers: 1,
        numExperts: 4,
        numTopk: 1,
        createdBy: 'test',
      } as const;
      const recorder = await LoadRecorder.create(file, header, { windowSize: 1 });
      for (let step = 0; step < 5; step++) {
        await recorder.add({ step, numTokens: 1, load_LE: [[1, step, 0, 0]], tokens: [] });
      }
      await recorder.close();
      const run = await plannedRun('simulation', {
        workload: { load: 'recording', recording_file: file, window_steps: 2 },
        set: ['parallel.ranks=2'],
      });
      await simulationMeasure.check!(run, null);
      const windows = await windowsOf(simulationOf(run).load, 2, 1);
      expect(windows.map(([load_E]) => [...Array.from(load_E!)])).to.deep.equal([
        [2, 1, 0, 0],
        [2, 5, 0, 0],
        [1, 4, 0, 0],
      ]);
    }));

  it('places slices of experts where they are divided, which a few hot experts fill ranks more evenly with', async () => {
    const few: RunOptions = {
      workload: { load: 'zipf', layers: 2, experts: 3, windows: 3, expert_bytes: 12 },
      set: ['parallel.ranks=4', 'load_balance.planner=eplb_stable'],
    };
    const whole = await metricsOf(few);
    const parts = await metricsOf(few, { set: ['experts.slices=4'] });
    expect(parts.metrics).to.include({ slots_per_rank: 3 });
    expect(parts.metrics.balancedness).to.be.above(whole.metrics.balancedness as number);
    const { moved_bytes: bytes, moved_slots: further, first_moved_slots: first, plans } = parts.metrics;
    const numMoved = (first as number) + (further as number) * ((plans as number) - 1);
    expect(bytes).to.be.closeTo(3 * numMoved, 1e-9);
    expect(numMoved).to.be.above(0);
  });

  it('takes a recording of layers with different numbers of experts, under a placement of their own', () =>
    withTempFolder(async (folder) => {
      const [file, placement] = [join(folder, 'load.jsonl.gz'), join(folder, 'placement.json')];
      const shape = { numLayers: 2, numExperts: [2, 4], numTopk: 1 };
      const header = { mode: 'per_pass', model: 'm', ...shape, createdBy: 'test' } as const;
      const recorder = await LoadRecorder.create(file, header, { windowSize: 1 });
      const load_LE = [
        [1, 3],
        [1, 1, 1, 1],
      ];
      for (let step = 0; step < 4; step++) await recorder.add({ step, numTokens: 4, load_LE, tokens: [] });
      await recorder.close();
      const phy2log = [
        [1, -1, 0, -1],
        [0, 1, 2, 3],
      ];
      await writeFile(placement, JSON.stringify({ num_ranks: 2, phy2log }));
      const { metrics } = await metricsOf({
        workload: { load: 'recording', recording_file: file, window_steps: 1 },
        set: ['parallel.ranks=2', `experts.placement=${placement}`, 'load_balance.planner=eplb_stable'],
      });
      expect(metrics.balancedness_first).to.be.closeTo((2 + 2) / (3 + 2), 1e-12);
    }));

  it('loads and planners that don’t go together are found before anything is planned', async () => {
    const wrong: readonly [RunOptions, string][] = [
      [{ workload: { load: 'recording' } }, 'give workload.recording_file'],
      [{ workload: { load: 'unbalanced', experts: 6 }, set: ['parallel.ranks=4'] }, '"workload.load"'],
      [{ workload: { experts: 16_384, layers: 4096, windows: 4096 } }, 'windows'],
      [
        { workload: { experts: 8 }, set: ['experts.num_redundant_experts=20', 'parallel.ranks=2'] },
        'num_redundant_experts',
      ],
      [{ workload: { experts: 6 }, set: ['parallel.ranks=4', 'load_balance.planner=eplb'] }, '"load_balance.planner"'],
    ];
    for (const [options, text] of wrong) {
      const run = await plannedRun('simulation', options);
      expect((await errorOf(Error, () => simulationMeasure.check!(run, null))).message).to.include(text);
    }
  });
});
