import { expect } from 'chai';
import { existsSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import * as nodeModule from 'node:module';
import { join } from 'node:path';
import { enableCompileCache } from '../../lib/compile_cache.js';
import { userCache } from '../../lib/config/user_cache.js';
import { Processes } from '../kit/processes/processes.js';
import { withTempFolder } from '../kit/temp_folder.js';

const processes = new Processes();

describe('the cache of compiled modules', () => {
  afterEach(processes.expectNone);

  it('is a folder of the user’s cache, where Node takes it', () =>
    withTempFolder((home) => {
      const folder = join(home, '.cache', 'expertwire', 'compiled');
      const asked: string[] = [];
      const enable = (directory: string) => (asked.push(directory), { directory: `${directory}/v24` });
      expect(enableCompileCache({ enable, home })).to.equal(folder);
      expect(asked).to.deep.equal([folder]);
      expect(enableCompileCache({ enable: () => ({}), home }), 'refused').to.equal(null);
      return Promise.resolve();
    }));

  it('is begun anew where many builds left more than is worth keeping', () =>
    withTempFolder(async (home) => {
      const folder = join(home, '.cache', 'expertwire', 'compiled');
      const fill = async (version: string, numFiles: number): Promise<void> => {
        await mkdir(join(folder, version), { recursive: true });
        for (let i = 0; i < numFiles; i++) await writeFile(join(folder, version, `${i}`), '');
      };
      await fill('v22', 2001);
      await fill('v24', 20);
      expect(enableCompileCache({ enable: (directory) => ({ directory }), home })).to.equal(folder);
      expect(await readdir(folder)).to.deep.equal(['v24']);
    }));

  it('is none, and nothing is made, where Node has none or the user no home', () => {
    const enable = (): never => {
      throw new Error('asked');
    };
    expect(enableCompileCache({ enable: null, home: '/' })).to.equal(null);
    expect(enableCompileCache({ enable, home: null })).to.equal(null);
    expect(enableCompileCache({ enable, home: '/no/such/home' })).to.equal(null);
  });

  it('is none where no folder can be made, which ends', async () => {
    expect(existsSync('/proc'), 'a file system without new folders').to.equal(true);
    const { code, stdout } = await processes.cli(['--version'], { env: { HOME: '/proc' } }).ended;
    expect([code, stdout]).to.deep.equal([0, '0.1.0\n']);
    expect(userCache('kernels', '/proc')).to.equal(null);
  });

  it('is there after a command, if this Node has one', () =>
    withTempFolder(async (HOME) => {
      const { code, stdout } = await processes.cli(['--version'], { env: { HOME } }).ended;
      expect([code, stdout]).to.deep.equal([0, '0.1.0\n']);
      expect(existsSync(join(HOME, '.cache'))).to.equal('enableCompileCache' in nodeModule);
    }));
});
