import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { repoRoot } from '../../kit/paths.js';
import { withTempFolder } from '../../kit/temp_folder.js';

describe('examples/kv_pool.mjs', function () {
  this.timeout(30_000);

  it('finds what went down to tiers, and what another pool was brought, and leaves nothing', () =>
    withTempFolder(async (folder) => {
      const file = join(repoRoot(), 'examples/kv_pool.mjs');
      const { stdout } = await promisify(execFile)(process.execPath, [file], { env: { TMPDIR: folder } });
      expect(stdout.split('\n')).to.deep.equal([
        'first turn: 0 of 96 tokens found',
        'next turn: 96 of 128 tokens found, in disk: 96',
        'elsewhere: 96 of 128 tokens found',
        '',
      ]);
      expect(await readdir(folder)).to.deep.equal([]);
    }));
});
