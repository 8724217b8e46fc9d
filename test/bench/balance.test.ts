import { expect } from 'chai';
import type { BalanceRow } from '../../bench/balance/measure.js';
import type { SplitRow } from '../../bench/balance/split_time.js';
import { KINDS, promptsOf } from '../../bench/balance/traffic.js';
import { runBench } from '../../bench/index.js';
import { REPLICA_CHOICES } from '../../experts/replica_choice.js';
import { UsageError } from '../../lib/commands/context.js';
import { loadTokenizer } from '../../lib/tokenizer/tokenizer.js';
import { commandContext } from '../kit/command_context.js';
import { moe7m, tinyModel } from '../kit/paths.js';
import { errorOf } from '../kit/rejects.js';

async function output(...args: readonly string[]): Promise<string> {
  const context = commandContext();
  await runBench(['balance', ...args], context);
  return context.printed();
}

describe('expertwire bench balance', function () {
  this.timeout(60_000);

  it('--json: a row for off and for each planner and choice, with makespans that fit each other, and the time of choosing', async () => {
    const sizes = ['--ranks', '2', '--prompts', '6', '--prompt-tokens', '12', '--new-tokens', '3', '--repeats', '1'];
    const text = await output('--model', tinyModel('tiny-deepseek-v3'), '--kind', 'random', ...sizes, '--json');
    interface Printed {
      readonly slots: number;
      readonly kind: string;
      readonly rows: readonly BalanceRow[];
      readonly splits: readonly SplitRow[];
    }
    const { slots, kind, rows, splits } = JSON.parse(text) as Printed;
    expect(kind).to.equal('random');
    expect(slots % 2).to.equal(0);
    expect(rows.map(({ placement, choice }) => `${placement} ${choice}`)).to.deep.equal([
      'off round_robin',
      'eplb round_robin',
      'eplb balanced',
      'eplb_stable round_robin',
      'eplb_stable balanced',
    ]);
    expect(rows[0]).to.include({ predicted_gain: 1, measured_gain: 1, speed: 1 });
    for (const row of rows) {
      expect(row.predicted_balancedness).to.be.within(0.5, 1 + 1e-9);
      // The busiest rank of each step adds up to at least the busiest rank of the whole.
      expect(row.measured_balancedness).to.be.within(0.5, 1 + 1e-9);
      expect(row.tokens_per_s).to.be.above(0);
    }
    for (const first of [1, 3]) {
      expect(rows[first + 1]!.predicted_balancedness).to.be.at.least(rows[first]!.predicted_balancedness - 1e-9);
    }
    expect(rows[0]!.measured_balancedness).to.be.at.most(rows[0]!.predicted_balancedness + 1e-9);
    expect(splits.map(({ choice }) => choice)).to.deep.equal(
      REPLICA_CHOICES.flatMap((choice) => [choice, choice, choice]),
    );
    for (const { median_us, p99_us } of splits) expect(p99_us).to.be.at.least(median_us);
  });

  it('prompts: as many and as long as asked, other ones in each half and of each kind, the same for the same seed', async () => {
    const tokenizer = await loadTokenizer(moe7m());
    const seen = new Set<string>();
    for (const kind of KINDS) {
      for (const half of [0, 1] as const) {
        const shape = { kind, numPrompts: 3, promptTokens: 200, seed: 5 };
        const prompts = promptsOf(half, shape, 2048, tokenizer);
        expect(prompts.map(({ length }) => length)).to.deep.equal([200, 200, 200]);
        expect(prompts.flat().every((id) => Number.isInteger(id) && id >= 0 && id < 2048)).to.equal(true);
        expect(promptsOf(half, shape, 2048, tokenizer)).to.deep.equal(prompts);
        for (const prompt of prompts) seen.add(prompt.join());
      }
    }
    expect(seen.size).to.equal(3 * 2 * KINDS.length);
  });

  it('refuses kinds, choices and numbers that make no sense', async () => {
    for (const args of [
      ['--kind', 'poem'],
      ['--choices', 'balanced,best'],
      ['--ranks', '0'],
      ['--slots', '1.5'],
    ]) {
      await errorOf(UsageError, () => output(...args));
    }
  });
});
