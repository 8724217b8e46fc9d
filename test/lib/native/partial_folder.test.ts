import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { NativeError } from '../../../lib/native/errors.js';
import { thisOwner } from '../../../base/process_owner.js';
import { makePartialFolder, partialPath, removeLeftovers } from '../../../lib/native/partial_folder.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

/** A process that waits until it is killed. */
async function withProcess(use: (pid: number, kill: () => Promise<void>) => Promise<void>): Promise<void> {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
  const exited = once(child, 'exit');
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  try {
    await once(child, 'spawn');
    await use(child.pid!, kill);
  } finally {
    await kill();
  }
}

/** Field 22 of proc(5), by way of the fields before it. */
async function startTicks(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  return /\) [A-Z](?: -?\d+){18} (\d+)/.exec(stat)![1]!;
}

describe('the folder of an installation', function () {
  before(function () {
    if (process.platform !== 'linux') this.skip();
  });

  it('bears the process, when it began and the machine', async () => {
    await withTempFolder(async (parent) => {
      const { host } = await thisOwner();
      const path = await makePartialFolder(join(parent, 'native'));
      expect(basename(path)).to.equal(`native.partial-${process.pid}-${await startTicks(process.pid)}-${host}`);
      expect(await readdir(parent)).to.deep.equal([basename(path)]);
    });
  });

  it('is left alone while its process runs, and the second installation is refused and leaves nothing', async () => {
    await withTempFolder(async (parent) => {
      await withProcess(async (pid, kill) => {
        const dir = join(parent, 'native');
        const other = partialPath(dir, { ...(await thisOwner()), pid, start: await startTicks(pid) });
        await mkdir(other);
        await writeFile(join(other, 'file'), 'half');
        for (const act of [makePartialFolder, removeLeftovers]) {
          const error = await errorOf(NativeError, () => act(dir));
          expect(error.code).to.equal('ALREADY_INSTALLING');
          expect(error.message).to.contain(`process ${pid} `).and.contain('wait for it or end it');
          expect(await readdir(parent)).to.deep.equal([basename(other)]);
          expect(await readFile(join(other, 'file'), 'utf8')).to.equal('half');
        }
        await kill();
        const own = await makePartialFolder(dir);
        expect(await readdir(parent)).to.deep.equal([basename(own)]);
      });
    });
  });

  it('is removed when another process has its number now', async () => {
    await withTempFolder(async (parent) => {
      const dir = join(parent, 'native');
      await mkdir(partialPath(dir, { ...(await thisOwner()), pid: 1, start: '1234567890' }));
      await removeLeftovers(dir);
      expect(await readdir(parent)).to.deep.equal([]);
    });
  });

  it('of another machine, which can not be asked, is left alone and named', async () => {
    await withTempFolder(async (parent) => {
      const dir = join(parent, 'native');
      const path = partialPath(dir, { pid: 1, start: '1', host: 'elsewhere' });
      await mkdir(path);
      const error = await errorOf(NativeError, () => makePartialFolder(dir));
      expect(error.code).to.equal('ALREADY_INSTALLING');
      expect(error.message).to.contain('on elsewhere').and.contain(`delete ${path}`);
      expect(await readdir(parent)).to.deep.equal([basename(path)]);
    });
  });

  it('is nobody’s business when it is called otherwise', async () => {
    await withTempFolder(async (parent) => {
      for (const name of ['native.partial-', 'native2.partial-1-1-x', 'native.partial-x-1-y'])
        await mkdir(join(parent, name));
      await removeLeftovers(join(parent, 'native'));
      expect(await readdir(parent)).to.have.length(3);
    });
  });
});
