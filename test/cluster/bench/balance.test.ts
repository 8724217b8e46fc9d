import { expect } from 'chai';
import { availableParallelism } from 'node:os';
import type { BalanceRow } from '../../../bench/balance/rows.js';
import type { SplitRow } from '../../../bench/balance/split_time.js';
import { runBench } from '../../../bench/index.js';
import { REPLICA_CHOICES } from '../../../experts/placement/replica_choice.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { tinyModel } from '../../kit/paths.js';

async function output(...args: readonly string[]): Promise<string> {
  const context = commandContext();
  await runBench(['balance', ...args], context);
  return context.printed();
}

describe('expertwire bench balance', function () {
  this.timeout(180_000);

  it('--json: a row for off and for each planner and choice, with makespans that fit each other, and the time of choosing', async () => {
    const sizes = ['--ranks', '2', '--prompts', '6', '--prompt-tokens', '12', '--new-tokens', '3', '--rounds', '2'];
    const text = await output('--model', tinyModel('tiny-deepseek-v3'), '--kind', 'random', ...sizes, '--json');
    interface Printed {
      readonly slots: number;
      readonly kind: string;
      readonly speed_from: string;
      readonly rows: readonly BalanceRow[];
      readonly splits: readonly SplitRow[];
    }
    const { slots, kind, rows, splits, speed_from } = JSON.parse(text) as Printed;
    expect(kind).to.equal('random');
    expect(speed_from).to.equal(availableParallelism() < 2 ? 'rank_costs' : 'throughput');
    expect(slots % 2).to.equal(0);
    expect(rows.map(({ placement, choice }) => `${placement} ${choice}`)).to.deep.equal([
      'off round_robin',
      'eplb round_robin',
      'eplb balanced',
      'eplb_stable round_robin',
      'eplb_stable balanced',
    ]);
    const same = { median: 1, lowest: 1, highest: 1 };
    expect(rows[0]).to.include({ planned_gain: 1, predicted_gain: 1, reached: null });
    expect(rows[0]).to.deep.include({ throughput_gain: same, rank_cost_gain: same });
    for (const row of rows) {
      expect(row.predicted_gain).to.be.closeTo(row.measured_balancedness / rows[0]!.measured_balancedness, 1e-9);
      for (const { median, lowest, highest } of [row.throughput_gain, row.rank_cost_gain]) {
        expect(median).to.be.within(lowest, highest);
        expect(lowest).to.be.above(0);
      }
      expect(row.planned_balancedness).to.be.within(0.5, 1 + 1e-9);
      // The busiest rank of each step adds up to at least the busiest rank of the whole.
      expect(row.measured_balancedness).to.be.within(0.5, 1 + 1e-9);
      expect(row.tokens_per_s).to.be.above(0);
    }
    for (const first of [1, 3]) {
      expect(rows[first + 1]!.planned_balancedness).to.be.at.least(rows[first]!.planned_balancedness - 1e-9);
    }
    expect(rows[0]!.measured_balancedness).to.be.at.most(rows[0]!.planned_balancedness + 1e-9);
    expect(splits.map(({ choice }) => choice)).to.deep.equal(
      REPLICA_CHOICES.flatMap((choice) => [choice, choice, choice]),
    );
    for (const { median_us, p99_us } of splits) expect(p99_us).to.be.at.least(median_us);
  });

  it('--reopen gives the same placements and loads, from engines that are started for every turn', async () => {
    const sizes = ['--prompts', '2', '--prompt-tokens', '5', '--new-tokens', '2', '--rounds', '2'];
    const model = ['--model', tinyModel('tiny-qwen3-moe'), '--kind', 'random', '--ranks', '2'];
    const args = [...model, ...sizes, '--choices', 'balanced', '--json'];
    const rowsOf = (text: string): object[] =>
      (JSON.parse(text) as { readonly rows: readonly BalanceRow[] }).rows.map(({ predicted_gain, placement }) => {
        return { predicted_gain, placement };
      });
    expect(rowsOf(await output(...args, '--reopen'))).to.deep.equal(rowsOf(await output(...args)));
  });
});
