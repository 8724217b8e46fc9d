import { expect } from 'chai';
import { parallelMs, rankCost } from '../../bench/balance/rank_costs.js';
import { gainOf, inTurn, shareReached } from '../../bench/balance/rounds.js';
import type { BalanceRow } from '../../bench/balance/rows.js';
import { KINDS, promptsOf } from '../../bench/balance/traffic.js';
import { report } from '../../bench/balance/report.js';
import { runBench } from '../../bench/index.js';
import { STEP_PHASES, type StepPhase } from '../../compute/base/stopwatch.js';
import { UsageError } from '../../lib/commands/base/context.js';
import { loadTokenizer } from '../../lib/tokenizer/tokenizer.js';
import { commandContext } from '../kit/processes/command_context.js';
import { moe7m } from '../kit/paths.js';
import { errorOf } from '../kit/rejects.js';

async function output(...args: readonly string[]): Promise<string> {
  const context = commandContext();
  await runBench(['balance', ...args], context);
  return context.printed();
}

describe('expertwire bench balance', () => {
  it('where ranks share cores, the table tells a prediction from what each rank cost, and says so', () => {
    const gain = (median: number): BalanceRow['rank_cost_gain'] => ({
      median,
      lowest: median / 2,
      highest: 2 * median,
    });
    const row: BalanceRow = {
      ...{ placement: 'eplb', choice: 'balanced', planned_balancedness: 1, measured_balancedness: 0.9 },
      ...{ planned_gain: 2, predicted_gain: 1.5, throughput_gain: gain(0.75), rank_cost_gain: gain(1.25) },
      ...{ reached: 0.5, tokens_per_s: 4321, experts_ms: 1, choose_us: 1 },
    };
    const options = {
      ...{ model: 'm', ranks: 4, set: [], numSlots: 8, choices: [], rounds: 3, reopen: false, newTokens: 1 },
      ...({ kind: 'code', numPrompts: 1, promptTokens: 1, seed: 1 } as const),
    };
    const machine = { cpu: 'c', cores: 2, memory: '1 GiB', node: 'v20' };
    const told = (speedFrom: 'throughput' | 'rank_costs'): string =>
      report(machine, options, { numSlots: 8, speedFrom, rows: [row] }, []);
    const predicted = told('rank_costs');
    expect(predicted).to.contain('4 ranks share 2 cores').and.contain('PREDICTED');
    expect(predicted)
      .to.match(/gain by rank costs/)
      .and.not.match(/tokens\/s +gain|4321|0\.75x/);
    expect(predicted).to.match(/eplb · balanced .* 1\.50x +1\.25x \(0\.63–2\.50\) +50 %/);
    const measured = told('throughput');
    expect(measured).to.not.contain('PREDICTED');
    expect(measured).to.match(/eplb · balanced .* 1\.50x +4321 +0\.75x \(0\.38–1\.50\) +50 %/);
  });

  it('rounds: every variant once, each in every place, and ratios of the same round alone', () => {
    const orders = [0, 1, 2, 3].map((round) => inTurn(['off', 'a', 'b'], round).join());
    expect(orders).to.deep.equal(['off,a,b', 'a,b,off', 'b,off,a', 'off,a,b']);
    // The machine becomes four times slower from round to round; the variant takes half, a third and a quarter of the baseline's time.
    expect(gainOf([12, 48, 192], [6, 16, 48])).to.deep.equal({ median: 3, lowest: 2, highest: 4 });
    expect(shareReached(1.5, 1.25)).to.equal(0.5);
    expect(shareReached(2, 0.5)).to.equal(-0.5);
    expect(shareReached(1.005, 1.25)).to.equal(null);
  });

  it('rank costs: per step the slowest rest, and per layer the rank whose experts take longest', () => {
    const phases = (given: Partial<Record<StepPhase, number>>): Record<StepPhase, number> =>
      Object.fromEntries(STEP_PHASES.map((phase) => [phase, given[phase] ?? 0])) as Record<StepPhase, number>;
    const waiting = { dispatch: 1e6, combine: 1e6 };
    const fast = rankCost({
      phasesMs: phases({ experts: 40, attention: 6, other: 2, ...waiting }),
      numRows: 20,
      numSteps: 2,
    });
    const slow = rankCost({
      phasesMs: phases({ experts: 30, gate: 1, sampling: 1, replicas: 4 }),
      numRows: 10,
      numSteps: 2,
    });
    expect([fast, slow]).to.deep.equal([
      { expertsMsPerRow: 2, restMsPerStep: 4 },
      { expertsMsPerRow: 3, restMsPerStep: 3 },
    ]);
    // Step 1: 4 + max(2·5, 3·3) + max(2·2, 3·2); step 2: 4 + max(2·9, 3·5) + max(2·4, 0).
    expect(parallelMs([[[5, 3], [2, 2]], [[9, 5], [4, 0]]], [fast, slow])).to.equal(20 + 30); // prettier-ignore
    expect(rankCost({ phasesMs: phases({}), numRows: 0, numSteps: 0 })).to.deep.equal({
      expertsMsPerRow: 0,
      restMsPerStep: 0,
    });
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
