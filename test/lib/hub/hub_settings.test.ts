import { expect } from 'chai';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HubError } from '../../../lib/hub/errors.js';
import { hubSettings } from '../../../lib/hub/hub_settings.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

describe('settings of the hub', () => {
  it('are those of huggingface.co, of nobody, where nothing is set', () =>
    withTempFolder(async (HOME) => {
      const { endpoint, token, isOffline, chunksAboveBytes, mayLink, timeoutMs } = await hubSettings({ HOME });
      expect([endpoint, token, isOffline]).to.deep.equal(['https://huggingface.co', undefined, false]);
      expect([chunksAboveBytes, mayLink, timeoutMs]).to.deep.equal([50e9, true, 30_000]);
    }));

  it('the token is that of a variable, or of the file that the hub’s tools write', () =>
    withTempFolder(async (HOME) => {
      const folder = join(HOME, '.cache', 'huggingface');
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, 'token'), 'hf_file\n');
      await writeFile(join(HOME, 'other'), 'hf_other');
      const tokenOf = async (env: Readonly<Record<string, string>>): Promise<string | undefined> =>
        (await hubSettings({ HOME, ...env })).token;
      expect(await tokenOf({})).to.equal('hf_file');
      expect(await tokenOf({ HF_TOKEN_PATH: '~/other' })).to.equal('hf_other');
      expect(await tokenOf({ HF_HOME: '/none' })).to.equal(undefined);
      expect(await tokenOf({ HUGGING_FACE_HUB_TOKEN: 'hf_old' })).to.equal('hf_old');
      expect(await tokenOf({ HF_TOKEN: ' hf_new\n', HUGGING_FACE_HUB_TOKEN: 'hf_old' })).to.equal('hf_new');
      expect(await tokenOf({ HF_TOKEN: 'hf_new', HF_HUB_DISABLE_IMPLICIT_TOKEN: '1' })).to.equal(undefined);
    }));

  it('variables say yes in the words of the hub’s tools', async () => {
    const off = async (HF_HUB_OFFLINE: string): Promise<boolean> =>
      (await hubSettings({ HF_TOKEN: 'hf_x', HF_HUB_OFFLINE })).isOffline;
    for (const yes of ['1', 'on', 'YES', 'True']) expect(await off(yes), yes).to.equal(true);
    for (const no of ['', '0', 'off', 'no', 'false', '2']) expect(await off(no), no).to.equal(false);
  });

  it('a proxy that Node passes by is noticed', async () => {
    const passes = async (env: Readonly<Record<string, string>>): Promise<boolean> =>
      (await hubSettings({ HF_TOKEN: 'hf_x', ...env })).hasUnusedProxy;
    expect(await passes({})).to.equal(false);
    expect(await passes({ https_proxy: 'http://p:1' })).to.equal(true);
    expect(await passes({ https_proxy: 'http://p:1', NODE_USE_ENV_PROXY: '1' })).to.equal(false);
  });

  it('the address is one, without a slash at its end', async () => {
    const endpointOf = async (HF_ENDPOINT: string): Promise<string> =>
      (await hubSettings({ HF_TOKEN: 'hf_x', HF_ENDPOINT })).endpoint;
    expect(await endpointOf('https://mirror.example/hub//')).to.equal('https://mirror.example/hub');
    for (const wrong of ['mirror.example', 'ftp://mirror.example', 'http://']) {
      const error = await errorOf(HubError, () => endpointOf(wrong));
      expect(error.code).to.equal('INVALID_SETTING');
      expect(error.message).to.contain(`HF_ENDPOINT is "${wrong}"`);
    }
  });

  it('a token that no header can carry is refused, and isn’t told', async () => {
    for (const token of ['hf_a b', 'hf_ä', 'hf_a\u0007']) {
      const error = await errorOf(HubError, () => hubSettings({ HF_TOKEN: token }));
      expect(error.code).to.equal('INVALID_SETTING');
      expect(error.message).to.contain('HF_TOKEN').and.not.contain('hf_');
    }
  });

  it('a token file that is a folder, or may not be read, is told', () =>
    withTempFolder(async (HOME) => {
      const error = await errorOf(HubError, () => hubSettings({ HOME, HF_TOKEN_PATH: HOME }));
      expect(error.code).to.equal('INVALID_SETTING');
      expect(error.message).to.contain(HOME).and.contain('EISDIR');
      if (process.getuid?.() === 0) return; // root may read all
      await writeFile(join(HOME, 'token'), 'hf_x');
      await chmod(join(HOME, 'token'), 0);
      const env = { HOME, HF_TOKEN_PATH: join(HOME, 'token') };
      expect((await errorOf(HubError, () => hubSettings(env))).message).to.contain('EACCES');
    }));
});
