import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runBench } from '../../../bench/index.js';
import type { FaultRow, Totals } from '../../../bench/chaos/figures.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { Processes } from '../../kit/processes/processes.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const processes = new Processes();

describe('expertwire bench chaos', function () {
  this.timeout(120_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  it('tells of each fault what it stalled, and ends every process', () =>
    withTempFolder(async (dir) => {
      const file = join(dir, 'figures.json');
      const load = ['--requests', '4', '--new-tokens', '24', '--gap-tokens', '20', '--timeout-ms', '5000'];
      const context = commandContext();
      const faults = ['--kill', '1', '--join', '1', '--slow', '1', '--slow-ms', '100', '--ranks', '2', '--seed', '2'];
      await runBench(['chaos', ...faults, ...load, '--json', file], context);
      const { rows, totals } = JSON.parse(await readFile(file, 'utf8')) as { rows: FaultRow[]; totals: Totals };
      expect(rows.map(({ kind }) => kind).sort()).to.deep.equal(['join', 'kill', 'slow']);
      for (const { kind, lost, victims, stall_ms, noticed_ms, redundancy_ms, recovered } of rows) {
        expect(recovered).to.equal(true);
        expect(lost).to.deep.equal(kind === 'kill' ? victims : []);
        if (kind === 'kill') expect(Math.min(stall_ms!, noticed_ms!, redundancy_ms!)).to.be.above(0);
      }
      expect(totals).to.include({ whole: totals.requests, degraded: 0, failed: 0 });
      expect(context.printed())
        .to.match(/^kill +apart/m)
        .and.to.match(/^\d+ requests: \d+ identical/m);
      expect(context.told()).to.match(/^RANK_LOST: /m);
    }));
});
