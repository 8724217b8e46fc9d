import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ChangeRow, ScaleTotals } from '../../../bench/scale/figures.js';
import { runBench } from '../../../bench/index.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { Processes } from '../../kit/processes/processes.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const processes = new Processes();

describe('expertwire bench scale', function () {
  this.timeout(120_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  it('2 → 4 → 2 → 3 ranks under load: no request is lost, and all have the tokens and bits of ranks that stay', () =>
    withTempFolder(async (dir) => {
      const file = join(dir, 'figures.json');
      const load = ['--requests', '4', '--new-tokens', '48', '--gap-tokens', '40', '--streams', '6'];
      const context = commandContext();
      await runBench(['scale', '--sizes', '2,4,2,3', ...load, '--json', file], context);
      const { rows, totals } = JSON.parse(await readFile(file, 'utf8')) as { rows: ChangeRow[]; totals: ScaleTotals };
      expect(rows.map(({ from, to }) => [from, to])).to.deep.equal([
        [2, 4],
        [4, 2],
        [2, 3],
      ]);
      for (const { first_step_ms, done_ms, moved_experts, recomputed } of rows) {
        expect(moved_experts).to.be.above(0);
        expect(first_step_ms).to.be.above(0);
        expect(done_ms).to.be.above(0);
        expect(recomputed).to.equal(0);
      }
      expect(rows[1]!.moved_sequences).to.be.above(0);
      expect(totals).to.include({ identical: totals.requests, bit_equal: totals.requests, failed: 0 });
      expect(context.printed()).to.match(/^2 → 4 +\d/m);
    }));
});
