import { expect } from 'chai';
import { readdir, rename, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { UsageError } from '../../../../lib/commands/base/context.js';
import { JobFile } from '../../../../lib/commands/serve/job_file.js';
import { DEFAULTS } from '../../../../lib/config/schema.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const CONFIG = { model: 'm', server: { ...DEFAULTS.server, port: 0 } };
const placeOf = (secret: string) => ({ host: '127.0.0.1', port: 4000, secret });

const fileIn = async (folder: string): Promise<JobFile> => (await JobFile.of(CONFIG, folder))!;

/** A head of another process, which is the parent of this one as long as it runs. Returns its file's name. */
async function leftBy(folder: string, secret: string, who: 'running' | number): Promise<string> {
  await (await fileIn(folder)).write(placeOf(secret));
  const own = (await readdir(folder)).find((name) => name.includes(`.${process.pid}-`))!;
  const pid = who === 'running' ? `${process.ppid}-0` : `${who}-1`; // nothing begins with its machine
  const name = `${own.split('.')[0]!}.${pid}-${hostname()}.json`;
  await rename(join(folder, own), join(folder, name));
  return name;
}

describe('where heads were', () => {
  it('is known to its owner alone, until the head ends by itself', async () => {
    await withTempFolder(async (folder) => {
      const file = await fileIn(folder);
      const writing = file.write(placeOf('a'));
      await file.remove(); // what is being written, too
      await writing;
      expect(await readdir(folder)).to.deep.equal([]);
      await file.write(placeOf('a'));
      const [name] = await readdir(folder);
      expect((await stat(join(folder, name!))).mode & 0o777).to.equal(0o600);
    });
  });

  it('of one that runs is neither taken over nor removed by another one on a port of its own', async () => {
    await withTempFolder(async (folder) => {
      const running = await leftBy(folder, 'of another one', 'running');
      const file = await fileIn(folder);
      const error = await errorOf(UsageError, () => file.read());
      expect(error.message).to.match(/^--resume finds no job: no head of this model and port had .* and died; start/);
      await file.write(placeOf('a'));
      await file.remove();
      expect(await readdir(folder)).to.deep.equal([running]);
    });
  });

  it('of the last one that died is taken over; an earlier one stays for another server', async () => {
    await withTempFolder(async (folder) => {
      const earlier = await leftBy(folder, 'earlier', 7);
      const now = new Date();
      await utimes(join(folder, earlier), now, new Date(now.getTime() - 60_000));
      // It is written by hand: a start without --resume would remove the earlier one.
      const later = earlier.replace('.7-', '.8-');
      await writeFile(join(folder, later), JSON.stringify(placeOf('later')));
      const file = await fileIn(folder);
      expect(await file.read()).to.deep.equal(placeOf('later'));
      await file.write(placeOf('later'));
      await file.remove();
      expect(await readdir(folder)).to.deep.equal([earlier]);
    });
  });

  it('is removed by a start that goes on with nothing', async () => {
    await withTempFolder(async (folder) => {
      await leftBy(folder, 'a', 7);
      const file = await fileIn(folder);
      await file.write(placeOf('b'));
      await file.remove();
      expect(await readdir(folder)).to.deep.equal([]);
    });
  });
});
