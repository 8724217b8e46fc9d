import { expect } from 'chai';
import { fileURLToPath } from 'node:url';
import { LocalRunner } from '../../../../lib/experiment/runs/local_runner.js';
import { describeRunner } from '../../../contracts/runner_contract.js';
import { plannedRun, runFolder } from '../../../kit/experiment/runs.js';
import { Processes } from '../../../kit/processes/processes.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const PLAYED = fileURLToPath(new URL('../../../kit/experiment/played_run.js', import.meta.url));

const processes = new Processes();
before(() => processes.markThisProcess());
afterEach(processes.expectNone);

describeRunner(
  'on this machine',
  (graceMs) => new LocalRunner({ env: process.env, graceMs, program: [PLAYED] }),
  processes,
);

describe('a runner on this machine', () => {
  it('tells of a process that cannot be started', () =>
    withTempFolder(async (dir) => {
      const runner = new LocalRunner({ env: { TOO_LONG: 'x'.repeat(3_000_000) }, program: [PLAYED] });
      const end = await runner.run(await runFolder(dir, plannedRun()), 1000, new AbortController().signal);
      expect(end.status).to.equal('failed');
      expect(end.status !== 'ok' && end.error.message).to.match(/can't be started \(.*E2BIG.*\); raise the limits/);
    }));
});
