/** `expertwire prune` with real ranks: a folder that generates, and nothing where it can't be. */
import { expect } from 'chai';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { moe7m } from '../../kit/paths.js';
import { commandLine, expectFailure, expectSuccess, json } from '../../kit/processes/command_line.js';
import { Processes } from '../../kit/processes/processes.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const processes = new Processes();
const expertwire = commandLine(processes);
const TEXT = 'Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse.';

describe('expertwire prune', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  it('writes a folder that generates; the same experts whatever the ranks', async () => {
    await withTempFolder(async (dir) => {
      const text = join(dir, 'text');
      await writeFile(text, TEXT.repeat(3));
      const pruned = async (ranks: string, out: string): Promise<Record<string, unknown>> =>
        json(
          expectSuccess(
            await expertwire([
              ...['prune', moe7m(), join(dir, out), '--keep', '16', '--calibration', text],
              ...['--calibration-piece', '20', '--ranks', ranks, '--json'],
            ]),
          ),
        );
      const [one, two] = [await pruned('1', 'one'), await pruned('2', 'two')];
      expect(two).to.deep.include({ kept: one.kept, kept_share: one.kept_share, experts: 16, experts_before: 32 });
      expect(two.bytes).to.be.lessThan(two.bytes_before as number);
      const shared = ['--prompt', 'Call me', '--max-new-tokens', '4', '--json'];
      const lines = expectSuccess(await expertwire(['generate', '--model', join(dir, 'two'), ...shared])).split('\n');
      expect(json(lines[0]!).token_ids).to.have.length(4);
    });
  });

  it('refuses what can’t be before anything is read, and leaves nothing', async () => {
    await withTempFolder(async (dir) => {
      const out = join(dir, 'out');
      const few = await expertwire(['prune', moe7m(), out, '--keep', '4', '--criterion', 'random']);
      expectFailure(few, 2, '--keep 4: ', 'keep');
      expectFailure(await expertwire(['prune', moe7m(), out]), 2, 'give --calibration FILE');
      await writeFile(join(dir, 'empty'), '');
      expectFailure(
        await expertwire(['prune', moe7m(), out, '--calibration', join(dir, 'empty')]),
        2,
        'give a text of at least 2',
      );
      expectFailure(await expertwire(['prune', moe7m(), dir, '--criterion', 'random']), 1, 'FOLDER_NOT_EMPTY');
      expect(await readdir(dir)).to.deep.equal(['empty']);
    });
  });
});
