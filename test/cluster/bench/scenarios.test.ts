import { expect } from 'chai';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runBench } from '../../../bench/index.js';
import type { ScenarioRow } from '../../../bench/scenarios/report.js';
import { ServeBenchError } from '../../../bench/serve/load/errors.js';
import { scenarioConfig } from '../../../lib/config/package_files.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

describe('expertwire bench scenarios', function () {
  this.timeout(180_000);

  it('plays each load against a server of each configuration, and ends the servers', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'figures.json');
      const configs = [scenarioConfig('chat'), scenarioConfig('long_context')].join(',');
      const trial = ['--num-prompts', '3', '--set', 'parallel.ranks=1', '--json', file];
      const context = commandContext();
      await runBench(['scenarios', '--configs', configs, ...trial], context);
      const { rows } = JSON.parse(await readFile(file, 'utf8')) as { rows: readonly ScenarioRow[] };
      expect(rows.map(({ config, load, requests, failed }) => [config, load, requests, failed])).to.deep.equal([
        ['chat', 'chat', 9, 0],
        ['chat', 'long_context', 3, 0],
        ['long_context', 'chat', 9, 0],
        ['long_context', 'long_context', 3, 0],
      ]);
      for (const { ttft_median_ms, tpot_median_ms, output_tokens_per_s, good_share } of rows) {
        expect([ttft_median_ms! > 0, tpot_median_ms! > 0, output_tokens_per_s > 0]).to.deep.equal([true, true, true]);
        expect(good_share).to.be.within(0, 1);
      }
      expect(context.printed()).to.include('load chat: --dataset turns').and.include('long_context · chat');
    });
  });

  it('a configuration that no server starts with is told in the server’s words', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'wrong.yaml');
      await writeFile(file, '# expertwire bench serve --num-prompts 1\nmodel: nowhere\n');
      const error = await errorOf(ServeBenchError, () => runBench(['scenarios', '--configs', file], commandContext()));
      expect(error.message).to.match(/^NO_SERVER: the server of .*wrong\.yaml didn't start: .*there is no such folder/);
    });
  });
});
