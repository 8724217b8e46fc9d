import { expect } from 'chai';
import { runBench } from '../../bench/index.js';
import { changingTraffic } from '../../bench/eplb/loads.js';
import { MOE_7M_LOADS } from '../../bench/eplb/moe7m_loads.js';
import type { EplbRow } from '../../bench/eplb/judge.js';
import { UsageError } from '../../lib/commands/base/context.js';
import { commandContext } from '../kit/processes/command_context.js';
import { errorOf } from '../kit/rejects.js';

async function output(...args: readonly string[]): Promise<string> {
  const context = commandContext();
  await runBench(['eplb', ...args], context);
  return context.printed();
}

const TINY = ['--layers', '2', '--experts', '16', '--slots', '20', '--ranks', '4', '--windows', '4', '--seed', '3'];
const LOADS = ['uniform', 'zipf 0.6', 'zipf 1.0', 'drift 0.6', 'drift 1.0', 'moe-7m'];

describe('expertwire bench eplb', () => {
  it('--json is one object: machine, settings, and a row per load and planner, the same for the same seed', async () => {
    const [text, again] = [await output(...TINY, '--json'), await output(...TINY, '--json')];
    expect(text.trimEnd().split('\n')).to.have.length(1);
    interface Printed {
      readonly machine: object;
      readonly seed: number;
      readonly windows: number;
      readonly rows: readonly EplbRow[];
    }
    const { machine, rows, ...settings } = JSON.parse(text) as Printed;
    expect(machine).to.have.all.keys('cpu', 'cores', 'memory', 'node');
    expect(settings).to.deep.equal({ seed: 3, windows: 4 });
    const expected = LOADS.flatMap((load) => ['linear', 'eplb', 'eplb_stable'].map((planner) => [load, planner]));
    expect(rows.map(({ load, planner }) => [load, planner])).to.deep.equal(expected);
    for (const row of rows) {
      const shape = row.load === 'moe-7m' ? [3, 32, 40, 4] : [2, 16, 20, 4];
      expect([row.layers, row.experts, row.slots, row.ranks]).to.deep.equal(shape);
      for (const when of ['now', 'next'] as const) {
        expect(row[`${when}_even`]).to.be.within(0.25, 1 + 1e-9);
        expect(row[`${when}_balanced`]).to.be.at.least(row[`${when}_even`] - 1e-9);
      }
      if (row.planner === 'linear') expect([row.moved_slots, row.first_moved_slots]).to.deep.equal([0, 0]);
      else expect(row.first_moved_slots).to.be.above(0);
    }
    const timeless = (printed: string): unknown =>
      (JSON.parse(printed) as Printed).rows.map((row) => ({ ...row, plan_ms: 0 }));
    expect(timeless(again)).to.deep.equal(timeless(text));
  });

  it('the table names machine, seed, shapes and formula', async () => {
    const text = await output(...TINY, '--planners', 'biased,round_robin');
    for (const part of ['cores', 'seed 3', '16 experts in 20 slots on 4 ranks', 'Σ mean rank load / Σ max rank load']) {
      expect(text).to.include(part);
    }
    for (const load of LOADS) expect(text).to.include(`${load} · biased`).and.include(`${load} · round_robin`);
  });

  it('refuses planners and numbers that make no sense', async () => {
    for (const args of [
      ['--planners', 'magic'],
      ['--windows', '2'],
      ['--layers', '0'],
    ]) {
      await errorOf(UsageError, () => output(...args));
    }
  });

  it('recorded traffic changes from one kind of text to the next in four windows', () => {
    const windows = changingTraffic(5, 1);
    const kinds = Object.values(MOE_7M_LOADS);
    expect(kinds.map((layers) => layers.map((load) => load.length))).to.deep.equal(kinds.map(() => [32, 32, 32]));
    const isNear = (load: ArrayLike<number>, expected: readonly number[]): boolean =>
      expected.every((count, e) => Math.abs(load[e]! - count) <= 6 * Math.sqrt(count) + 1);
    expect(isNear(windows[0]![1]!, kinds[0]![1]!)).to.equal(true);
    expect(isNear(windows[4]![1]!, kinds[1]![1]!)).to.equal(true);
    expect(isNear(windows[2]![1]!, kinds[0]![1]!.map((count, e) => (count + kinds[1]![1]![e]!) / 2))).to.equal(true); // prettier-ignore
  });
});
