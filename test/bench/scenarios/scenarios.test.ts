import { expect } from 'chai';
import { benchScenarios } from '../../../bench/scenarios/bench_scenarios.js';
import { scenarioTable, type ScenarioRow } from '../../../bench/scenarios/report.js';
import { loadArgsOf, readScenario } from '../../../bench/scenarios/scenario_file.js';
import { parseOptions } from '../../../bench/serve/options.js';
import { UsageError } from '../../../lib/commands/base/context.js';
import { loadConfig } from '../../../lib/config/load.js';
import { DEMO_CONFIG, SCENARIOS, scenarioConfig } from '../../../lib/config/package_files.js';
import { openModel } from '../../../lib/head/opened_model.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { errorOf } from '../../kit/rejects.js';

describe('the scenarios', () => {
  it('each is a configuration that loads and fits its model, with targets and a load that fits its context', async () => {
    for (const name of SCENARIOS) {
      const scenario = await readScenario(scenarioConfig(name));
      const config = await loadConfig({ file: scenario.file });
      const { limits } = await openModel(config);
      expect([scenario.name, config.parallel.ranks]).to.deep.equal([name, 2]);
      const { dataset, targets } = parseOptions(scenario.loadArgs);
      expect(targets).to.not.equal(null);
      if (dataset.kind === 'file' || dataset.kind === 'trace') throw new Error('needs a file');
      const most = 1 + dataset.rangeRatio;
      const said = dataset.kind === 'random' || dataset.kind === 'turns' ? dataset.inputLen : dataset.suffixLen;
      const turn = most * (said + dataset.outputLen);
      const whole =
        dataset.kind === 'turns'
          ? dataset.numTurns * turn
          : dataset.kind === 'prefix'
            ? dataset.prefixLen + turn
            : turn;
      expect(whole).to.be.at.most(limits.maxModelLen);
    }
  });

  it('a load is the command in a comment, over all lines that go on with options', () => {
    const text =
      '# Words.\n#\n#   expertwire bench serve --dataset turns --num-prompts 3\n#     --think-ms 5\n# More --words.\nmodel: x\n#  --seed 3\n';
    expect(loadArgsOf(text)).to.deep.equal(['--dataset', 'turns', '--num-prompts', '3', '--think-ms', '5']);
    expect(loadArgsOf('model: x\n')).to.equal(null);
  });

  it('the table has the rows of a load together, and marks what a late client measured', () => {
    const row = (config: string, load: string, client_is_late: boolean): ScenarioRow => ({
      ...{
        config,
        load,
        requests: 4,
        failed: 1,
        ttft_median_ms: 10,
        ttft_p99_ms: 20.04,
        tpot_median_ms: null,
        itl_p99_ms: 3,
      },
      ...{
        e2el_median_ms: 5,
        output_tokens_per_s: 123.4,
        goodput_per_s: 1,
        good_share: 0.75,
        cached_share: null,
        client_is_late,
      },
    });
    const text = scenarioTable([row('a', 'x', false), row('a', 'y', false), row('b', 'x', true), row('b', 'y', false)]);
    const lines = text.split('\n');
    expect(lines.slice(1, 5).map((line) => line.slice(0, 5))).to.deep.equal(['x · a', 'x · b', 'y · a', 'y · b']);
    expect(lines[2]).to.match(/^x · b \* +10\.0 +20\.0 +- +3\.0 +5\.0 +123 +75 % +- +1$/);
    expect(lines[5]).to.match(/^\* the client was late/);
    expect(scenarioTable([row('a', 'x', false)])).to.not.include('*');
  });

  it('files without a load, and options that make no sense, are refused before anything starts', async () => {
    for (const args of [
      ['--configs', DEMO_CONFIG],
      ['--configs', 'none.yaml'],
      ['--num-prompts', '0'],
      ['--speed', '1'],
    ]) {
      await errorOf(UsageError, () => benchScenarios(args, commandContext()));
    }
  });
});
