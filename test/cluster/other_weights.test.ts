/** Ranks with model folders of their own: the same experts, or no job. */
import { expect } from 'chai';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { moe7mCases } from '../kit/model/goldens.js';
import { copyModel, flipBit } from '../kit/model/model_copy.js';
import { moe7m } from '../kit/paths.js';
import { freePort } from '../kit/processes/ports.js';
import { lastLine, Processes, type Ended } from '../kit/processes/processes.js';
import { withTempFolder } from '../kit/temp_folder.js';

const processes = new Processes();
const GOLDEN = moe7mCases()[0]!;

/** A head with one rank and one from elsewhere, which reads another folder. */
async function jobWith(folder: string, home: string): Promise<{ readonly head: Ended; readonly rank: Ended }> {
  const env = { EXPERTWIRE_JOB_SECRET: 'a secret of this test', HOME: home };
  const port = await freePort();
  const prompt = ['--prompt-ids', GOLDEN.prompt_token_ids.join(), '--max-new-tokens', '8', '--json'];
  const where = ['--ranks', '1', '--listen', `127.0.0.1:${port}`, '--wait-ranks', '1'];
  const head = processes.cli(['generate', '--model', moe7m(), ...prompt, ...where], { env });
  const rank = processes.cli(['rank', '--head', `127.0.0.1:${port}`, '--model', folder], { env });
  return { head: await head.ended, rank: await rank.ended };
}

describe('a rank with a model folder of its own', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  it('computes the golden tokens where the folder is a copy, whose digests are kept for the next time', async () => {
    await withTempFolder(async (dir) => {
      const [folder, home] = [await emptyFolder(dir, 'copy'), await emptyFolder(dir, 'home')];
      await copyModel(moe7m(), folder);
      for (let time = 0; time < 2; time++) {
        const { head, rank } = await jobWith(folder, home);
        expect(rank.code, rank.stderr).to.equal(0);
        const [line] = head.stdout.split('\n');
        expect((JSON.parse(line!) as { token_ids: number[] }).token_ids).to.deep.equal(
          GOLDEN.greedy_token_ids.slice(0, 8),
        );
        expect(await readdir(join(home, '.cache', 'expertwire', 'digests'))).to.have.length(1);
      }
    });
  });

  it('computes where nothing can be kept', async () => {
    await withTempFolder(async (dir) => {
      const folder = await emptyFolder(dir, 'copy');
      await copyModel(moe7m(), folder);
      const { head, rank } = await jobWith(folder, '/proc/nowhere');
      expect([head.code, rank.code], head.stderr + rank.stderr).to.deep.equal([0, 0]);
    });
  });

  it('ends the job where one bit of one of its experts is another one: who, which expert, and what to do', async () => {
    await withTempFolder(async (dir) => {
      const [folder, home] = [await emptyFolder(dir, 'other'), await emptyFolder(dir, 'home')];
      await copyModel(moe7m(), folder);
      await flipBit(folder, 'model.layers.2.mlp.experts.31.up_proj.weight', 1000);
      const { head, rank } = await jobWith(folder, home);
      expect(head.code).to.equal(1);
      expect(lastLine(head.stderr)).to.match(
        /^expertwire: RANKS_DIFFER: rank 1 read other weights for expert 31 of layer 2 than the head's model folder has; /,
      );
      expect(head.stderr.match(/RANKS_DIFFER/g), 'told once').to.have.length(1);
      expect(rank.code).to.equal(1);
      expect(lastLine(rank.stderr)).to.contain('rank 1 read other weights for expert 31 of layer 2');
    });
  });
});

async function emptyFolder(dir: string, name: string): Promise<string> {
  const folder = join(dir, name);
  await mkdir(folder);
  return folder;
}
