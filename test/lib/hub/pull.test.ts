import { expect } from 'chai';
import { createHash } from 'node:crypto';
import { readFile, realpath, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hubModel } from '../../../bench/pull/hub_model.js';
import { cachedModel } from '../../../lib/hub/cache/cached_model.js';
import { HubError } from '../../../lib/hub/errors.js';
import { hubSettings } from '../../../lib/hub/hub_settings.js';
import { indexOf, smallModel, someBytes, withHub } from '../../kit/hub/pulling.js';
import { errorOf } from '../../kit/rejects.js';

const WEIGHTS = 300_000;
const [FIRST, SECOND] = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
const SHARDED = {
  'config.json': '{"model_type":"x"}',
  'tokenizer.json': '{}',
  'chat_template.jinja': '{{ x }}',
  'additional_chat_templates/rag.jinja': '{{ y }}',
  'tokenizer.model': 'sentences',
  LICENSE: 'do',
  'model.safetensors.index.json': indexOf(FIRST, SECOND, FIRST),
  [FIRST]: someBytes(WEIGHTS, 1),
  [SECOND]: someBytes(WEIGHTS, 2),
};
const OTHERS = {
  'pytorch_model.bin': 'torch',
  'pytorch_model.bin.index.json': '{}',
  'onnx/model.onnx': 'onnx',
  'original/consolidated.00.pth': 'pth',
  'model-mtp.safetensors': 'not in the index',
  'picture.png': 'png',
};
const sharded = (name = 'org/sharded', hasChunks = false) =>
  hubModel(name, [{ names: ['main'], files: { ...SHARDED, ...OTHERS } }], { hasChunks });

describe('pulling a model', () => {
  it('writes the layout of the hub’s own tools: blobs by hash, links of the commit, the commit of the revision', () =>
    withHub({ models: [smallModel('org/small', 1000)] }, async ({ pull, listing, cache }) => {
      const { folder, commit, fetchedBytes } = await pull('org/small');
      const repo = 'models--org--small';
      const [config, weights] = ['{}', someBytes(1000)];
      const oid = createHash('sha1').update(`blob 2\0${config}`).digest('hex');
      const sha256 = createHash('sha256').update(weights).digest('hex');
      expect(await listing()).to.deep.equal(
        [
          `${repo}/`,
          `${repo}/blobs/`,
          `${repo}/blobs/${oid} 2`,
          `${repo}/blobs/${sha256} 1000`,
          `${repo}/refs/`,
          `${repo}/refs/main 40`,
          `${repo}/snapshots/`,
          `${repo}/snapshots/${commit}/`,
          `${repo}/snapshots/${commit}/config.json → ../../blobs/${oid}`,
          `${repo}/snapshots/${commit}/model.safetensors → ../../blobs/${sha256}`,
        ].sort(),
      );
      expect(folder).to.equal(join(cache, repo, 'snapshots', commit));
      expect(fetchedBytes).to.equal(1002);
      expect(await readFile(join(folder, 'model.safetensors'))).to.deep.equal(someBytes(1000));
      expect(cachedModel({ repo: 'org/small', revision: 'main' }, cache)).to.equal(folder);
    }));

  for (const hasChunks of [false, true]) {
    it(`takes the shards of the index and what goes with them, ${hasChunks ? 'in chunks' : 'as files'}, and nothing else`, () =>
      withHub({ models: [sharded('org/sharded', hasChunks)], pageSize: 4 }, async ({ pull, hub }) => {
        const { folder, files } = await pull('org/sharded');
        expect(files.map(({ path }) => path)).to.have.members(Object.keys(SHARDED));
        for (const [path, content] of Object.entries(SHARDED))
          expect(await readFile(join(folder, path)), path).to.deep.equal(Buffer.from(content));
        const asked = hub.requests.map(({ url }) => url).join(' ');
        for (const path of Object.keys(OTHERS)) expect(asked).not.to.contain(path);
        expect(asked.includes('/objects/')).to.equal(hasChunks);
      }));
  }

  it('asks for chunks of files that the hub sends no other way alone, and not where HF_HUB_DISABLE_XET says so', async () => {
    const { chunksAboveBytes: most } = await hubSettings({ HF_TOKEN: 'hf_x' });
    const { chunksAboveBytes: none } = await hubSettings({ HF_TOKEN: 'hf_x', HF_HUB_DISABLE_XET: '1' });
    expect([most, none]).to.deep.equal([50e9, Infinity]);
    for (const chunksAboveBytes of [WEIGHTS, most, none])
      await withHub({ models: [sharded('org/sharded', true)] }, async ({ pull, hub }) => {
        await pull('org/sharded', { settings: { chunksAboveBytes } });
        expect(hub.requests.map(({ url }) => url).join(' ')).not.to.match(/objects|reconstructions/);
      });
  });

  it('prefers the one file where there are both, as the engine does', () =>
    withHub(
      { models: [hubModel('org/both', [{ names: ['main'], files: { ...SHARDED, 'model.safetensors': 'w' } }])] },
      async ({ pull }) => {
        const paths = (await pull('org/both')).files.map(({ path }) => path);
        expect(paths).to.include('model.safetensors').and.not.include(FIRST);
      },
    ));

  it('fetches nothing again, and only what is new of another revision', () => {
    const next = { ...SHARDED, 'config.json': '{"model_type":"y"}', [SECOND]: someBytes(WEIGHTS, 3) };
    const model = hubModel('org/two', [
      { names: ['main', 'v2'], files: next },
      { names: ['v1', 'refs/pr/1'], files: SHARDED },
    ]);
    return withHub({ models: [model] }, async ({ pull, fetches, cache }) => {
      const first = await pull('org/two@v1');
      expect(fetches()).to.have.length(Object.keys(SHARDED).length);
      expect((await pull('org/two@v1')).fetchedBytes).to.equal(0);
      expect(fetches()).to.deep.equal([]);
      const second = await pull('org/two');
      expect(fetches()).to.have.length(2);
      expect(second.fetchedBytes).to.equal(WEIGHTS + next['config.json'].length);
      const find = (revision: string): string | null => cachedModel({ repo: 'org/two', revision }, cache);
      expect([find('v1'), find('main'), find('v2')]).to.deep.equal([first.folder, second.folder, null]);
      expect((await pull('org/two@refs/pr/1')).folder).to.equal(first.folder);
      expect(find('refs/pr/1')).to.equal(first.folder);
      expect((await pull(`org/two@${second.commit}`)).folder).to.equal(second.folder);
    });
  });

  it('mends a blob that was cut off, or removed', () =>
    withHub({ models: [smallModel('org/small', 1000)] }, async ({ pull, fetches }) => {
      const { folder } = await pull('org/small');
      await truncate(join(folder, 'model.safetensors'), 10);
      fetches();
      await pull('org/small');
      expect(fetches()).to.deep.equal(['all']);
      expect(await readFile(join(folder, 'model.safetensors'))).to.deep.equal(someBytes(1000));
      await rm(await realpath(join(folder, 'model.safetensors')));
      await pull('org/small');
      expect(await readFile(join(folder, 'model.safetensors'))).to.deep.equal(someBytes(1000));
    }));

  it('--include takes files by pattern instead, as Python’s library does', () =>
    withHub({ models: [sharded()] }, async ({ pull }) => {
      const paths = async (...include: string[]): Promise<string[]> =>
        (await pull('org/sharded', { include })).files.map(({ path }) => path);
      expect(await paths('*.json')).to.have.members([
        'config.json',
        'model.safetensors.index.json',
        'pytorch_model.bin.index.json',
        'tokenizer.json',
      ]);
      expect(await paths('o*.pth')).to.deep.equal(['original/consolidated.00.pth']);
      expect(await paths('onnx/', 'model-0000[!1]*')).to.deep.equal([SECOND, 'onnx/model.onnx']);
      expect(await paths('LICENS?')).to.deep.equal(['LICENSE']);
      const error = await errorOf(HubError, () => paths('*.gguf'));
      expect(error.code).to.equal('NO_FILES');
      expect(error.message).to.contain('none of 15 files is like *.gguf; there are LICENSE,');
    }));

  it('a dry run tells what is needed and fetches the index alone', () =>
    withHub({ models: [sharded()] }, async ({ pull, fetches, cache }) => {
      const { files } = await pull('org/sharded', { isDryRun: true });
      expect(files.map(({ path }) => path)).to.have.members(Object.keys(SHARDED));
      expect(fetches()).to.have.length(1);
      expect(cachedModel({ repo: 'org/sharded', revision: 'main' }, cache)).to.equal(null);
    }));

  it('tells how far it is, of all in the end, and which files are there', () =>
    withHub({ models: [sharded()] }, async ({ pull }) => {
      const told: [number, number][] = [];
      const names: string[] = [];
      const onFile = ({ path }: { readonly path: string }): void => void names.push(path);
      const { files } = await pull('org/sharded', { onProgress: (...each) => told.push(each), onFile });
      const all = files.reduce((sum, { size }) => sum + size, 0);
      expect(told.at(-1)).to.deep.equal([all, all]);
      expect(told.map(([done]) => done)).to.deep.equal(told.map(([done]) => done).toSorted((a, b) => a - b));
      expect(names).to.have.members(Object.keys(SHARDED));
    }));

  it('the name of a revision changes when all is there, and not before', () => {
    const model = hubModel('org/two', [
      { names: ['main'], files: SHARDED },
      { names: ['v1'], files: { ...SHARDED, [SECOND]: 'old' } },
    ]);
    return withHub({ models: [model] }, async ({ pull, cache }) => {
      const old = await pull('org/two@v1');
      await writeFile(join(cache, 'models--org--two', 'refs', 'main'), old.commit);
      const beforeWeights = (): Promise<void> => Promise.reject(new Error('enough'));
      expect((await errorOf(Error, () => pull('org/two', { beforeWeights }))).message).to.equal('enough');
      expect(cachedModel({ repo: 'org/two', revision: 'main' }, cache)).to.equal(old.folder);
    });
  });

  it('puts files themselves where links can’t be made', () =>
    withHub({ models: [smallModel('org/small', 1000)] }, async ({ pull, listing }) => {
      const env = { HF_HUB_DISABLE_SYMLINKS: '1' };
      const { commit } = await pull('org/small', { env });
      const files = (await listing()).filter((line) => !line.endsWith('/'));
      const snapshot = `models--org--small/snapshots/${commit}`;
      const refs = 'models--org--small/refs/main 40';
      expect(files).to.deep.equal([refs, `${snapshot}/config.json 2`, `${snapshot}/model.safetensors 1000`]);
      expect((await pull('org/small', { env })).fetchedBytes).to.equal(0);
    }));
});
