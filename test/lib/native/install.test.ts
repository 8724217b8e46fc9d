import { expect } from 'chai';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { native } from '../../../lib/commands/native.js';
import { UsageError } from '../../../lib/commands/context.js';
import { NativeError } from '../../../lib/native/errors.js';
import { installNative, removeNative } from '../../../lib/native/install.js';
import { commandContext } from '../../kit/command_context.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const silent = { onStep: () => undefined, onProgress: () => undefined };
const signal = new AbortController().signal;

/** A folder with an installation, beside what a killed one left. */
async function withInstalled(use: (dir: string, parent: string) => Promise<void>): Promise<void> {
  await withTempFolder(async (parent) => {
    const dir = join(parent, 'native');
    for (const folder of [dir, `${dir}.partial-1`]) await mkdir(folder);
    await writeFile(join(dir, 'manifest.json'), '{"tensorflow":"2.0.0"}');
    await use(dir, parent);
  });
}

describe('native install', function () {
  before(function () {
    if (process.platform !== 'linux' || process.arch !== 'x64') this.skip();
  });

  it('from a folder without TensorFlow is refused, and leaves what was installed and nothing else', async () => {
    await withInstalled(async (dir, parent) => {
      const error = await errorOf(NativeError, () => installNative(dir, { ...silent, signal, from: parent }));
      expect(error.code).to.equal('NO_LIBRARY');
      expect(error.message)
        .to.match(/^NO_LIBRARY: /)
        .and.contain(parent)
        .and.contain('libtensorflow_cc.so.2');
      expect(await readdir(parent)).to.deep.equal(['native']);
      expect(await readFile(join(dir, 'manifest.json'), 'utf8')).to.contain('2.0.0');
    });
  });

  it('ends when it is told to, and leaves nothing', async () => {
    await withTempFolder(async (parent) => {
      const reason = new Error('interrupted');
      const options = { ...silent, signal: AbortSignal.abort(reason) };
      expect(await errorOf(Error, () => installNative(join(parent, 'native'), options))).to.equal(reason);
      expect(await readdir(parent)).to.deep.equal([]);
    });
  });

  it('says what it can not write', async () => {
    await withTempFolder(async (parent) => {
      await writeFile(join(parent, 'file'), '');
      const dir = join(parent, 'file', 'native');
      const error = await errorOf(NativeError, () => installNative(dir, { ...silent, signal }));
      expect(error.code).to.equal('WRITE_FAILED');
    });
  });

  it('--remove takes away what was installed and what was left over, once', async () => {
    await withInstalled(async (dir, parent) => {
      expect(await removeNative(dir)).to.equal(true);
      expect(await readdir(parent)).to.deep.equal([]);
      const context = commandContext();
      await native({ action: 'install', remove: true }, context, dir);
      expect(context.printed()).to.equal(`nothing was installed in ${dir}\n`);
    });
  });

  it('--remove and --from exclude each other', async () => {
    const both = { action: 'install', remove: true, from: '/' } as const;
    await errorOf(UsageError, () => native(both, commandContext(), '/nowhere'));
  });
});
