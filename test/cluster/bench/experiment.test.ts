/** What an experiment adds to a run: a benchmark that runs real processes. */
import { expect } from 'chai';
import { runBench } from '../../../bench/index.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { Processes } from '../../kit/processes/processes.js';

describe('bench experiment', function () {
  this.timeout(120_000);

  const processes = new Processes();
  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  it('has a run by hand and by the runner, and what one adds to the other', async () => {
    const context = { ...commandContext(), env: process.env };
    const args = ['--ranks', '1', '--rounds', '1', '--prompt-words', '2', '--new-tokens', '2', '--json'];
    await runBench(['experiment', ...args], context);
    const { machine, generate_ms, measure_ms, run_ms, runner_ms, beside_generate_ms, overhead_ms } = JSON.parse(
      context.printed(),
    ) as Record<string, number>;
    expect(machine).to.have.property('cores');
    expect([generate_ms, measure_ms, run_ms, overhead_ms].every((ms) => ms! > 0)).to.equal(true);
    expect(runner_ms).to.equal(run_ms! - measure_ms!);
    expect(beside_generate_ms).to.equal(run_ms! - generate_ms!);
  });
});
