import { expect } from 'chai';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readJobs } from '../../../../lib/jobs/file/read_jobs.js';
import { repoRoot } from '../../../kit/paths.js';

describe('examples of jobs', () => {
  const folder = join(repoRoot(), 'configs', 'jobs');
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.yaml'))) {
    it(`configs/jobs/${file} can be applied`, async () => {
      const jobs = await readJobs(join(folder, file), { cwd: repoRoot(), env: {} });
      expect(jobs).to.not.have.length(0);
    });
  }

  it('the nightly batch is kept with all of its requests', async () => {
    const [read] = await readJobs(join(folder, 'nightly_batch.yaml'), { cwd: repoRoot(), env: {} });
    const { triggers, nodes } = read!.job;
    expect(triggers).to.deep.equal([{ kind: 'cron', cron: '0 30 2 * * *', timezone: 'UTC' }]);
    expect(nodes[0]!.work).to.include({ kind: 'batch', numLines: 4, linesPerShard: 2 });
  });
});
