import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runBench } from '../../../bench/index.js';
import type { SlowRun } from '../../../bench/slow/run_slow.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { Processes } from '../../kit/processes/processes.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const processes = new Processes();

describe('expertwire bench slow', function () {
  this.timeout(120_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  it('a rank that takes four times as long is told beside ranks that are alike, and no token is another', () =>
    withTempFolder(async (dir) => {
      const file = join(dir, 'figures.json');
      const load = ['--streams', '4', '--new-tokens', '12', '--prompt-tokens', '4', '--rounds', '1', '--warm-ups', '1'];
      const context = commandContext();
      await runBench(['slow', '--factor', '4', ...load, '--json', file], context);
      const run = JSON.parse(await readFile(file, 'utf8')) as SlowRun;
      const [even, ignored, shared] = run.rows;
      for (const { steps } of run.rows) expect(steps).to.be.above(0);
      for (const row of [even!, ignored!]) expect(row.slow_sequences).to.equal(0.5);
      expect(shared!.ratio).to.be.closeTo(shared!.step_ms / run.ideal_ms, 1e-9);
      expect(run).to.include({ answers: 8, identical: 8 });
      expect(context.printed()).to.match(/^each gets what it can +\d/m);
    }));
});
