import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { keysIn } from '../../../../lib/config/key_types.js';
import { PLACEHOLDERS } from '../../../../lib/jobs/base/placeholders.js';
import { jobSchema } from '../../../../lib/jobs/file/job_schema.js';
import { readJobs } from '../../../../lib/jobs/file/read_jobs.js';
import { COMMAND_LINES } from '../../../../lib/jobs/work/command_lines.js';
import { repoRoot } from '../../../kit/paths.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const text = readFileSync(join(repoRoot(), 'docs', 'jobs.md'), 'utf8');

describe('docs/jobs.md', () => {
  it('begins with a file that works', () =>
    withTempFolder(async (folder) => {
      const path = join(folder, 'nightly.yaml');
      await writeFile(path, /^```yaml\n([\s\S]*?)^```$/m.exec(text)![1]!);
      const [nightly] = await readJobs(path, { cwd: folder, env: {} });
      expect(nightly!.job.nodes.map(({ name }) => name)).to.deep.equal(['heat', 'plan']);
    }));

  it('names every key of the file, every placeholder and every command', () => {
    const keys = [
      ...keysIn(jobSchema, []),
      ...keysIn(jobSchema, ['triggers', 0]),
      ...['', 'retries', 'batch', 'rebalance'].flatMap((part) =>
        keysIn(jobSchema, ['nodes', 'x', ...(part === '' ? [] : [part])]),
      ),
    ];
    expect(keys).to.include.members(['keep_runs', 'every_s', 'max_backoff_s', 'lines_per_shard', 'route']);
    const names = [...keys, ...Object.keys(PLACEHOLDERS), ...Object.keys(COMMAND_LINES)];
    expect(names.filter((name) => !new RegExp(`\`[^\`\n]*\\b${name}\\b`).test(text))).to.deep.equal([]);
  });
});
