import { expect } from 'chai';
import { createHash } from 'node:crypto';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { HubFault } from '../../../bench/pull/hub_exchange.js';
import { hubModel } from '../../../bench/pull/hub_model.js';
import { ownerText, thisOwner } from '../../../base/process_owner.js';
import { HubError, type HubErrorCode } from '../../../lib/hub/errors.js';
import { smallModel, someBytes, withHub, type Pulling } from '../../kit/hub/pulling.js';
import { errorOf } from '../../kit/rejects.js';

const SIZE = 3_000_000;
const NAME = 'org/small';
/** What the cache calls the weights of {@link smallModel}. */
const HASH = createHash('sha256').update(someBytes(SIZE)).digest('hex');
const weightsOf = async (folder: string): Promise<Buffer> => readFile(join(folder, 'model.safetensors'));

/** Faults for the first answers with bytes of large files; then the right ones. */
const inTurn = (...faults: readonly HubFault[]): ((request: { readonly url: string }) => HubFault | undefined) => {
  const left = [...faults];
  return ({ url }) => (/\/(whole|objects)\//.test(url) ? left.shift() : undefined);
};

const withSmall = (
  faults: readonly HubFault[],
  use: (pulling: Pulling) => Promise<void>,
  hasChunks = false,
): Promise<void> => withHub({ models: [smallModel(NAME, SIZE, { hasChunks })], faultOf: inTurn(...faults) }, use);

async function expectRefused(
  promise: Promise<unknown>,
  code: HubErrorCode,
  ...words: readonly string[]
): Promise<void> {
  const error = await errorOf(HubError, () => promise);
  expect(error.code, error.message).to.equal(code);
  for (const word of words) expect(error.message).to.contain(word);
}

/** What is left of files that aren't whole. */
const incompleteIn = async ({ listing }: Pulling): Promise<readonly string[]> =>
  (await listing()).filter((line) => line.includes('.incomplete'));

describe('a connection that breaks', () => {
  it('goes on where it broke, as long as something comes', () =>
    withSmall(
      Array.from({ length: 9 }, () => ({ cutAfter: 300_000 })),
      async ({ pull, fetches }) => {
        const { folder, fetchedBytes } = await pull(NAME);
        expect(await weightsOf(folder)).to.deep.equal(someBytes(SIZE));
        expect(fetchedBytes).to.equal(SIZE + 2);
        const ranges = fetches().slice(-9);
        expect(ranges).to.deep.equal(ranges.map((_, i) => `bytes=${300_000 * (i + 1)}-`));
      },
    ));

  it('goes on in chunks too', () =>
    withSmall(
      [{ cutAfter: 200_000 }, { cutAfter: 100_000 }, { cutAfter: 1000 }, { cutAfter: 1 }],
      async ({ pull }) => {
        expect(await weightsOf((await pull(NAME)).folder)).to.deep.equal(someBytes(SIZE));
      },
      true,
    ));

  it('is given up when nothing comes any more, and the next pull goes on there', () => {
    const dead = Array.from({ length: 5 }, () => ({ cutAfter: 0 }));
    return withSmall([{ cutAfter: 1_200_000 }, ...dead], async (pulling) => {
      const story = `broke off 6 times after 1200000 of ${SIZE} bytes`;
      await expectRefused(pulling.pull(NAME), 'UNREACHABLE', 'model.safetensors', story, 'it goes on where it stopped');
      expect(await incompleteIn(pulling)).to.have.length(1);
      expect((await incompleteIn(pulling))[0]).to.match(/\.kept\.incomplete 1200000$/);
      pulling.fetches();
      const { folder, fetchedBytes } = await pulling.pull(NAME);
      expect(pulling.fetches()).to.deep.equal(['bytes=1200000-']);
      expect(fetchedBytes).to.equal(SIZE - 1_200_000);
      expect(await weightsOf(folder)).to.deep.equal(someBytes(SIZE));
      expect(await incompleteIn(pulling)).to.deep.equal([]);
    });
  });

  it('begins anew where the server sends whole files alone', () =>
    withSmall([{ cutAfter: 1_000_000 }, { ignoresRange: true }], async ({ pull }) => {
      const { folder, fetchedBytes } = await pull(NAME);
      expect(await weightsOf(folder)).to.deep.equal(someBytes(SIZE));
      expect(fetchedBytes).to.equal(SIZE + 1_000_000 + 2);
    }));

  it('is one that is silent for too long', () =>
    withSmall([{ stallAfter: 1_000_000 }, { isSilent: true }], async ({ pull, fetches }) => {
      const { folder } = await pull(NAME, { settings: { timeoutMs: 150 } });
      expect(await weightsOf(folder)).to.deep.equal(someBytes(SIZE));
      expect(fetches().slice(-2)).to.deep.equal(['bytes=1000000-', 'bytes=1000000-']);
    }));

  it('is tried again where the hub is busy', () => {
    const faults: HubFault[] = [{ status: 503 }, { status: 429, headers: { 'Retry-After': '0' } }, { status: 500 }];
    return withHub({ models: [smallModel(NAME, SIZE)], faultOf: () => faults.shift() }, async ({ pull }) => {
      expect(await weightsOf((await pull(NAME)).folder)).to.deep.equal(someBytes(SIZE));
    });
  });

  it('is told with the hub’s own words when it stays busy', () =>
    withHub({ models: [], faultOf: () => ({ status: 503, text: 'Back at noon' }) }, async ({ pull, hub }) => {
      await expectRefused(pull(NAME), 'HUB_FAILED', `${hub.url} answered 503 (Back at noon)`);
      expect(hub.requests).to.have.length(5);
    }));
});

describe('wrong bytes', () => {
  for (const [what, fault, words] of [
    ['others', { isWrong: true }, 'the SHA-256'],
    ['too many', { surplus: 1 }, 'are more than that'],
  ] as const) {
    it(`${what}: are refused with file and hub, and nothing of them stays`, () =>
      withSmall([fault], async (pulling) => {
        await expectRefused(pulling.pull(NAME), 'WRONG_BYTES', 'model.safetensors', pulling.hub.url, words);
        const left = (await pulling.listing()).filter(
          (line) => line.endsWith(` ${SIZE}`) || line.includes('incomplete'),
        );
        expect(left).to.deep.equal([]);
        expect(await weightsOf((await pulling.pull(NAME)).folder)).to.deep.equal(someBytes(SIZE));
      }));
  }

  it('of a small file are refused by Git’s hash', () => {
    let numLeft = 1;
    const faultOf = ({ url }: { readonly url: string }): HubFault | undefined =>
      url.includes('resolve-cache') && numLeft-- > 0 ? { isWrong: true } : undefined;
    return withHub({ models: [smallModel(NAME, SIZE)], faultOf }, async ({ pull }) =>
      expectRefused(pull(NAME), 'WRONG_BYTES', 'config.json', 'Git hash'),
    );
  });

  it('that an earlier pull left are fetched anew, once', () => {
    const dead = Array.from({ length: 5 }, () => ({ cutAfter: 0 }));
    return withSmall([{ cutAfter: 1_000_000, isWrong: true }, ...dead], async ({ pull, fetches }) => {
      await expectRefused(pull(NAME), 'UNREACHABLE');
      fetches();
      expect(await weightsOf((await pull(NAME)).folder)).to.deep.equal(someBytes(SIZE));
      expect(fetches()).to.deep.equal(['bytes=1000000-', 'all']);
    });
  });
});

describe('a disk', () => {
  it('that has no room is told before weights are fetched, with both numbers', () => {
    const [oid, size] = ['0'.repeat(40), 1e15];
    const weights = { path: 'model.safetensors', type: 'file', oid, size, lfs: { oid: '0'.repeat(64), size } };
    const faultOf = ({ url }: { readonly url: string }): HubFault | undefined =>
      url.includes('/tree/') ? { status: 200, text: JSON.stringify([weights]) } : undefined;
    return withHub({ models: [smallModel(NAME, SIZE)], faultOf }, async ({ pull, fetches, cache }) => {
      const words = ['org/small needs 909.5 TiB more', 'iB free', cache, 'HF_HUB_CACHE'];
      await expectRefused(pull(NAME), 'DISK_FULL', ...words);
      expect(fetches()).to.deep.equal([]);
    });
  });

  it('that fills up on the way is told, and what came doesn’t hold it full', () =>
    withSmall([], async (pulling) => {
      const { cache, pull } = pulling;
      const blobs = join(cache, 'models--org--small', 'blobs');
      await mkdir(blobs, { recursive: true });
      await symlink('/dev/full', join(blobs, `${HASH}.kept.incomplete`));
      await expectRefused(pull(NAME), 'DISK_FULL', cache, 'ENOSPC');
      expect(await incompleteIn(pulling)).to.deep.equal([]);
      expect(await weightsOf((await pull(NAME)).folder)).to.deep.equal(someBytes(SIZE));
    }));

  it('where nothing may be written is told', () =>
    withSmall([], async ({ pull, cache }) => {
      await writeFile(join(cache, 'file'), '');
      const env = { HF_HUB_CACHE: join(cache, 'file') };
      await expectRefused(pull(NAME, { env }), 'WRITE_FAILED', join(cache, 'file'), 'HF_HUB_CACHE');
    }));
});

describe('two pulls at once', () => {
  it('of one process fetch every file once', () =>
    withSmall([], async ({ pull, fetches }) => {
      const waited: string[] = [];
      const onWaiting = ({ path }: { readonly path: string }): void => void waited.push(path);
      const both = await Promise.all([pull(NAME, { onWaiting }), pull(NAME, { onWaiting })]);
      expect(both[0].folder).to.equal(both[1].folder);
      expect(fetches()).to.deep.equal(['all', 'all']);
      expect(both.map(({ fetchedBytes }) => fetchedBytes).reduce((a, b) => a + b)).to.equal(SIZE + 2);
      expect(waited).not.to.deep.equal([]);
    }));

  it('the second goes on where the first was interrupted', () =>
    withSmall([{ stallAfter: 1_000_000 }], async ({ pull, fetches }) => {
      const first = new AbortController();
      const came = new Promise<void>((resolve) => {
        void errorOf(Error, () =>
          pull(NAME, { signal: first.signal, onProgress: (done) => done > 1_000_000 && resolve() }),
        );
      });
      await came;
      const second = pull(NAME, { onWaiting: () => first.abort(new Error('enough')) });
      expect(await weightsOf((await second).folder)).to.deep.equal(someBytes(SIZE));
      expect(fetches().at(-1)).to.equal('bytes=1000000-');
    }));

  const leftBy = async (cache: string, owner: string, bytes: Uint8Array): Promise<void> => {
    const blobs = join(cache, 'models--org--small', 'blobs');
    await mkdir(blobs, { recursive: true });
    await writeFile(join(blobs, `${HASH}.${owner}.incomplete`), bytes);
  };
  const part = someBytes(SIZE).subarray(0, 700_000);

  it('what a process left behind that is no more is taken over', () =>
    withSmall([], async (pulling) => {
      await leftBy(pulling.cache, ownerText({ ...(await thisOwner()), pid: 1, start: '1234567890' }), part);
      await pulling.pull(NAME);
      expect(pulling.fetches().at(-1)).to.equal('bytes=700000-');
      expect(await incompleteIn(pulling)).to.deep.equal([]);
    }));

  it('a process that runs is waited for, and named', () =>
    withSmall([], async ({ pull, cache, fetches }) => {
      const owner = await thisOwner();
      await leftBy(cache, ownerText({ ...owner, host: 'elsewhere' }), part);
      const stop = new AbortController();
      const waiting = pull(NAME, {
        signal: stop.signal,
        onWaiting: ({ path }, { pid, host }) => stop.abort(new Error(`${path} ${pid} ${host}`)),
      });
      const { message } = await errorOf(Error, () => waiting);
      expect(message).to.equal(`model.safetensors ${owner.pid} elsewhere`);
      expect(hostname()).not.to.equal('elsewhere');
      expect(fetches()).to.deep.equal(['all']);
    }));

  it('what other tools left is theirs', () =>
    withSmall([], async (pulling) => {
      await leftBy(pulling.cache, '0a1b2c3d', part);
      await pulling.pull(NAME);
      expect(pulling.fetches()).to.deep.equal(['all', 'all']);
      expect(await incompleteIn(pulling)).to.have.length(1);
    }));
});

describe('who asks', () => {
  const files = { 'config.json': '{}', 'model.safetensors': 'w' };
  const tokens = { hf_in: true, hf_out: false };
  const models = (['public', 'gated', 'private'] as const).map((access) =>
    hubModel(`org/${access}`, [{ names: ['main'], files }], { access }),
  );

  it('is told what to do where a model is gated, private, or isn’t there; a name that isn’t there leaves nothing behind', () =>
    withHub({ models, tokens }, async ({ pull, hub, listing }) => {
      const asked = (name: string, token?: string) =>
        pull(name, { env: token === undefined ? {} : { HF_TOKEN: token } });
      const terms = `${hub.url}/org/gated`;
      await expectRefused(asked('org/gated'), 'GATED', 'not without a token', terms, 'HF_TOKEN');
      await expectRefused(asked('org/gated', 'hf_out'), 'GATED', 'not with this token', terms);
      await expectRefused(asked('org/private'), 'NO_REPOSITORY', 'no model org/private', 'HF_TOKEN');
      await expectRefused(asked('org/none', 'hf_in'), 'NO_REPOSITORY', 'no model org/none', 'check the name');
      await expectRefused(asked('org/public', 'hf_old'), 'BAD_TOKEN', 'HF_TOKEN');
      await expectRefused(asked('org/public@v9'), 'NO_REVISION', 'org/public', 'v9', `${hub.url}/org/public/tree/main`);
      const left = await listing();
      expect(left.filter((line) => /org--(private|none|public)/.test(line))).to.deep.equal([]);
      for (const name of ['org/gated', 'org/private']) expect((await asked(name, 'hf_in')).files).to.have.length(2);
    }));

  it('shows the token to the hub alone, not to where it redirects', () =>
    withHub({ models, tokens }, async ({ pull, hub }) => {
      await pull('org/gated', { env: { HF_TOKEN: 'hf_in' } });
      for (const { at, authorization } of hub.requests)
        expect(authorization, at).to.equal(at === 'hub' ? 'Bearer hf_in' : undefined);
    }));

  it('is offline where HF_HUB_OFFLINE says so', () =>
    withHub({ models }, async ({ pull, hub }) => {
      await expectRefused(pull('org/public', { env: { HF_HUB_OFFLINE: '1' } }), 'OFFLINE', '--model org/public');
      expect(hub.requests).to.deep.equal([]);
    }));

  it('is told of a hub that isn’t there, and of a proxy that Node passes by', () =>
    withHub({ models }, async ({ pull, hub }) => {
      await hub.close();
      await expectRefused(pull('org/public'), 'UNREACHABLE', hub.url, 'ECONNREFUSED', '--model org/public');
      await expectRefused(
        pull('org/public', { env: { HTTPS_PROXY: 'http://p' } }),
        'UNREACHABLE',
        'NODE_USE_ENV_PROXY=1',
      );
    }));
});

describe('a repository', () => {
  const pullOf = (files: Readonly<Record<string, string>>, ...words: readonly string[]): Promise<void> =>
    withHub({ models: [hubModel(NAME, [{ names: ['main'], files }])] }, async ({ pull }) =>
      expectRefused(pull(NAME), 'NO_FILES', ...words),
    );

  it('without weights in safetensors is told what it has instead', () =>
    pullOf(
      { 'config.json': '{}', 'model.gguf': 'g', 'pytorch_model.bin': 'p' },
      'model.gguf, pytorch_model.bin',
      '--include',
    ));

  it('without weights at all is told so', () => pullOf({ 'config.json': '{}' }, 'no weights at all'));

  it('whose index names files that it lacks is told which', () =>
    pullOf(
      {
        'model.safetensors.index.json': '{"weight_map":{"a":"x.safetensors","b":"y.safetensors"}}',
        'x.safetensors': 'x',
      },
      'names 2 files',
      'lacks 1: y.safetensors',
    ));

  for (const path of ['../evil.json', '/etc/evil.json', 'a/../../evil.json', 'C:\\evil.json', 'a\\..\\..\\evil.json'])
    it(`with a file ${path} is refused, and nothing is written`, () =>
      withHub(
        { models: [hubModel(NAME, [{ names: ['main'], files: { 'config.json': '{}', [path]: 'x' } }])] },
        async (pulling) => {
          await expectRefused(pulling.pull(NAME), 'UNSAFE_PATH', 'evil.json');
          expect((await pulling.listing()).filter((line) => !line.endsWith('/'))).to.deep.equal([]);
        },
      ));

  it('of an address that is no hub is told so', async () => {
    for (const body of ['<html>', '{}', '[]', '{"sha":"../x"}', '[1]']) {
      const server = createServer(
        (_, response) => void response.setHeader('Content-Type', 'application/json').end(body),
      );
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      try {
        await withHub({ models: [] }, async ({ pull }) =>
          expectRefused(pull(NAME, { env: { HF_ENDPOINT: url } }), 'HUB_FAILED', url, 'HF_ENDPOINT'),
        );
      } finally {
        server.closeAllConnections();
        server.close();
      }
    }
  });
});
