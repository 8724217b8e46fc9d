import { expect } from 'chai';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runBench } from '../../bench/index.js';
import { UsageError } from '../../lib/commands/base/context.js';
import { ConfigError } from '../../lib/config/errors.js';
import { WeightError } from '../../lib/weights/errors.js';
import { commandContext } from '../kit/processes/command_context.js';
import { errorOf } from '../kit/rejects.js';
import { withTempFolder } from '../kit/temp_folder.js';

describe('benchmarks', () => {
  it('are told by name', async () => {
    for (const args of [[], ['pulls']])
      expect((await errorOf(UsageError, () => runBench(args, commandContext()))).message).to.match(
        /there are: balance, .*pull/,
      );
  });

  it('take a model that was pulled by its name', () =>
    withTempFolder(async (cache) => {
      const context = { ...commandContext(), env: { HF_HUB_CACHE: cache } };
      for (const args of [['--model', 'org/name'], ['--model=org/name']]) {
        const error = await errorOf(ConfigError, () => runBench(['generate', ...args], context));
        expect(error.message).to.contain('`expertwire pull org/name`');
      }
      const repo = join(cache, 'models--org--name');
      const snapshot = join(repo, 'snapshots', 'a'.repeat(40));
      await mkdir(snapshot, { recursive: true });
      await mkdir(join(repo, 'refs'));
      await writeFile(join(repo, 'refs', 'main'), 'a'.repeat(40));
      const error = await errorOf(WeightError, () => runBench(['generate', '--model', 'org/name'], context));
      expect(error.file).to.equal(join(snapshot, 'config.json'));
    }));
});
