/** Python's huggingface_hub is the judge of hub and cache: it downloads from the hub that tests pull from, reads the cache that we write, and we read the one that it writes. */
import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { hubModel } from '../../bench/pull/hub_model.js';
import { loadConfig } from '../../lib/config/load.js';
import { indexOf, someBytes, withHub, type Pulling } from '../kit/hub/pulling.js';
import { pythonWith } from '../kit/processes/python.js';
import { withTempFolder } from '../kit/temp_folder.js';

const FILES = {
  'config.json': '{"model_type":"x"}',
  'tokenizer.json': '{}',
  'additional_chat_templates/rag.jinja': '{{ y }}',
  'model.safetensors.index.json': indexOf('model-1.safetensors', 'model-2.safetensors'),
  'model-1.safetensors': someBytes(3_000_000, 1),
  'model-2.safetensors': someBytes(200_000, 2),
};
const OLD = { ...FILES, 'config.json': '{"model_type":"old"}' };
const revisions = [
  { names: ['main'], files: FILES },
  { names: ['v1'], files: OLD },
];
const models = [
  hubModel('org/plain', revisions),
  hubModel('org/chunked', revisions, { hasChunks: true }),
  hubModel('org/gated', revisions, { access: 'gated' }),
];
const tokens = { hf_in: true, hf_out: false };

/** Prints what it returns, or the name of the error. */
const DOWNLOAD = `
import json, sys
from huggingface_hub import snapshot_download
name, revision, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
try:
    print(json.dumps(snapshot_download(name, revision=revision, **options)))
except Exception as error:
    print(json.dumps(type(error).__name__))`;

const SCAN = `
import json, sys
from huggingface_hub import scan_cache_dir
found = scan_cache_dir(sys.argv[1])
print(json.dumps({
    'repos': {
        repo.repo_id: {
            'bytes': repo.size_on_disk,
            'revisions': {
                revision.commit_hash: {'refs': sorted(revision.refs), 'files': sorted(file.file_name for file in revision.files)}
                for revision in repo.revisions
            },
        }
        for repo in found.repos
    },
    'warnings': [str(warning) for warning in found.warnings],
}))`;

describe('Python’s huggingface_hub', function () {
  this.timeout(120_000);
  let python: string;

  before(async function () {
    const found = await pythonWith('huggingface_hub');
    if (found === null) return this.skip();
    python = found;
  });

  const run = async (
    code: string,
    args: readonly string[],
    env: Readonly<Record<string, string>>,
  ): Promise<unknown> => {
    const { stdout } = await promisify(execFile)(python, ['-c', code, ...args], {
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    });
    return JSON.parse(stdout.trim().split('\n').at(-1)!);
  };
  const download = (
    { hub, cache }: Pick<Pulling, 'hub' | 'cache'>,
    name: string,
    revision: string,
    options: Readonly<Record<string, unknown>> = {},
  ): Promise<unknown> =>
    run(DOWNLOAD, [name, revision, JSON.stringify(options)], { HF_ENDPOINT: hub.url, HF_HUB_CACHE: cache });

  const filesIn = async (folder: string): Promise<Readonly<Record<string, Buffer>>> => {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    const paths = entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
    const contents = paths.map(async (path) => [path.slice(folder.length + 1), await readFile(path)] as const);
    return Object.fromEntries(await Promise.all(contents));
  };
  const buffers = (files: Readonly<Record<string, Buffer | string>>): Readonly<Record<string, Buffer>> =>
    Object.fromEntries(Object.entries(files).map(([path, content]) => [path, Buffer.from(content)]));

  for (const name of ['org/plain', 'org/chunked']) {
    it(`downloads ${name} from the hub of the tests, and we find what it wrote and fetch none of it again`, () =>
      withHub({ models, pageSize: 3 }, async (pulling) => {
        for (const [revision, files] of [
          ['main', FILES],
          ['v1', OLD],
        ] as const) {
          const folder = (await download(pulling, name, revision)) as string;
          expect(await filesIn(folder)).to.deep.equal(buffers(files));
          const config = await loadConfig({ base: { model: `${name}@${revision}` }, env: pulling.env });
          expect(config.model).to.equal(folder);
          const { folder: ours, fetchedBytes } = await pulling.pull(`${name}@${revision}`);
          expect([ours, fetchedBytes]).to.deep.equal([folder, 0]);
        }
      }));

    it(`reads what we wrote of ${name}, without asking anybody, and fetches none of it again`, () =>
      withHub({ models }, async (pulling) => {
        const { hub, cache, pull, fetches } = pulling;
        const pulled = [await pull(name), await pull(`${name}@v1`)] as const;
        const numAsked = hub.requests.length;
        for (const [i, revision] of ['main', 'v1'].entries())
          expect(await download(pulling, name, revision, { local_files_only: true })).to.equal(pulled[i]!.folder);
        expect(hub.requests).to.have.length(numAsked);
        const files = Object.keys(FILES).map((path) => path.split('/').at(-1));
        expect(await run(SCAN, [cache], {})).to.deep.equal({
          repos: {
            [name]: {
              bytes: Object.values(buffers(FILES)).reduce((sum, { length }) => sum + length, OLD['config.json'].length),
              revisions: {
                [pulled[0].commit]: { refs: ['main'], files: files.toSorted() },
                [pulled[1].commit]: { refs: ['v1'], files: files.toSorted() },
              },
            },
          },
          warnings: [],
        });
        fetches();
        expect(await download(pulling, name, 'main')).to.equal(pulled[0].folder);
        expect(fetches()).to.deep.equal([]);
      }));
  }

  it('is refused by the hub of the tests as by the hub itself', () =>
    withHub({ models, tokens }, async ({ hub }) =>
      withTempFolder(async (cache) => {
        const asked = (name: string, revision: string, token: string | false): Promise<unknown> =>
          download({ hub, cache }, name, revision, { token });
        expect(await asked('org/gated', 'main', false)).to.equal('GatedRepoError');
        expect(await asked('org/gated', 'main', 'hf_out')).to.equal('GatedRepoError');
        expect(await asked('org/none', 'main', 'hf_in')).to.equal('RepositoryNotFoundError');
        expect(await asked('org/plain', 'v9', false)).to.equal('RevisionNotFoundError');
        expect(await asked('org/gated', 'main', 'hf_in')).to.match(/snapshots/);
      }),
    ));
});
