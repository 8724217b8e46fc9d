import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runBench } from '../../../bench/index.js';
import type { Measured } from '../../../bench/base/measured.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { Processes } from '../../kit/processes/processes.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const processes = new Processes();

describe('bench cluster', function () {
  this.timeout(60_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  it('hands prompts over with the bytes of the formula and the same tokens, and has a router pass all tokens on', () =>
    withTempFolder(async (dir) => {
      const json = join(dir, 'figures.json');
      const context = commandContext();
      const few = ['--rounds', '1', '--prompt-tokens', '40', '--stream-tokens', '4'];
      await runBench(['cluster', '--only', 'handover,router', ...few, '--json', json], context);
      const { results } = JSON.parse(await readFile(json, 'utf8')) as { results: Record<string, Measured> };
      const { handover, router } = results;
      expect(handover).to.include({ answers: 2, changed: 0 });
      expect(handover!.rows[0]).to.include({ tokens: 40, bytes_ratio: 1 });
      expect(router!.rows.map(({ route }) => route)).to.have.length(2);
    }));
});
