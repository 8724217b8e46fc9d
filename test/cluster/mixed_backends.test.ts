/** Ranks of one job that compute with different backends: the golden tokens, experts that move between them, and what is said of ranks that can't. */
import { expect } from 'chai';
import { hostname } from 'node:os';
import { loadConfig } from '../../lib/config/load.js';
import { Engine } from '../../lib/head/engine.js';
import { generateIds } from '../kit/engine/engines.js';
import { MOVING } from '../kit/engine/moving.js';
import { moe7mCases, tinyGolden } from '../kit/model/goldens.js';
import { moe7m, tinyModel } from '../kit/paths.js';
import { freePort } from '../kit/processes/ports.js';
import { lastLine, Processes, withoutNews } from '../kit/processes/processes.js';

const processes = new Processes();
const SECRET = 'a secret of this test';
const ENV = { env: { EXPERTWIRE_JOB_SECRET: SECRET } };

interface Mix {
  readonly model: string;
  /** Keys of the head's configuration. */
  readonly set: readonly string[];
  /** Of the ranks that join from elsewhere. */
  readonly backends: readonly string[];
}

/** One rank of the head's own, and one for each backend. */
async function withMix({ model, set, backends }: Mix, use: (engine: Engine) => Promise<void>): Promise<void> {
  const port = await freePort();
  const ranks = backends.map((backend, i) =>
    processes.cli(['rank', '--head', `127.0.0.1:${port}`, '--rank', `${i + 1}`, '--backend', backend], ENV),
  );
  const engine = await Engine.start({
    config: await loadConfig({ base: { model }, overrides: [...set] }),
    numExternalRanks: backends.length,
    listen: { host: '127.0.0.1', port },
    secret: SECRET,
  });
  try {
    await use(engine);
  } finally {
    await engine.close();
  }
  for (const { ended } of ranks) expect(await ended).to.include({ code: 0, stdout: '' });
}

const KINDS = (engine: Engine): string[] =>
  engine.stats().loadReports.map(({ backend, residence }) => `${backend} ${residence.compute}`);

describe('ranks with different backends in one job', function () {
  this.timeout(120_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  const MIXES: readonly [string, string, readonly string[], readonly string[], readonly string[]][] = [
    ['kernels and tensors', 'backend=wasm', [], ['cpu'], ['wasm kernels', 'cpu tensors']],
    ['tensors and kernels', 'backend=cpu', [], ['wasm'], ['cpu tensors', 'wasm kernels']],
    ['two kinds of tensors', 'backend=wasm', ['compute=tensors'], ['cpu'], ['wasm tensors', 'cpu tensors']],
    ['one of their own each', 'backend=cpu', [], ['wasm', 'cpu'], ['cpu tensors', 'wasm kernels', 'cpu tensors']],
  ];
  for (const name of ['tiny-deepseek-v3', 'tiny-qwen3-moe']) {
    for (const [what, backend, more, backends, kinds] of MIXES) {
      it(`decode the golden tokens of ${name}: ${what}`, async () => {
        const golden = tinyGolden(name);
        await withMix({ model: tinyModel(name), set: [backend, ...more], backends }, async (engine) => {
          // A request for each rank: an idle job gives them to the ranks in order.
          const requests = kinds.map(() =>
            generateIds(engine, { promptTokenIds: golden.prompt_token_ids, maxNewTokens: 24 }),
          );
          for (const { tokenIds } of await Promise.all(requests)) {
            expect(tokenIds).to.deep.equal(golden.greedy_token_ids);
          }
          expect(KINDS(engine)).to.deep.equal(kinds);
        });
      });
    }
  }

  it('give the golden text while experts move between kernels and tensors, both ways', async () => {
    const set = ['backend=wasm', ...MOVING];
    const cases = moe7mCases().slice(0, 4);
    await withMix({ model: moe7m(), set, backends: ['cpu'] }, async (engine) => {
      const numRebalances = (): number => engine.stats().rebalancing!.numRebalances;
      do {
        const outputs = await Promise.all(
          cases.map(({ prompt_token_ids: promptTokenIds }) => generateIds(engine, { promptTokenIds })),
        );
        expect(outputs.map(({ tokenIds }) => tokenIds)).to.deep.equal(cases.map((golden) => golden.greedy_token_ids));
      } while (numRebalances() < 3);
      const { numFailed, lastError, movedBytes } = engine.stats().rebalancing!;
      expect(numFailed, lastError ?? '').to.equal(0);
      expect(movedBytes).to.be.above(0);
      expect(engine.stats()).to.include({ backend: 'wasm + cpu', compute: 'kernels + tensors' });
    });
  });
});

describe('a rank that cannot start', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  const ARGS = ['generate', '--model', moe7m(), '--prompt', 'x'];
  const told = (stderr: string): string[] => withoutNews(stderr).trimEnd().split('\n');

  it('is told of once, with the code of what failed, the rank and its machine', async () => {
    for (const transport of ['ws', 'threads']) {
      const args = [...ARGS, '--ranks', '2', '--backend', 'tensorflow', '--set', `comm.transport=${transport}`];
      const { code, stdout, stderr } = await processes.cli(args, { env: { HOME: '/nowhere' } }).ended;
      expect([code, stdout]).to.deep.equal([1, '']);
      const lines = told(stderr);
      expect(lines, stderr).to.have.length(1);
      expect(lines[0]).to.match(/^expertwire: BACKEND_UNAVAILABLE: rank [01] on /);
      expect(lines[0]).to.contain(` on ${hostname()}: no backend for 'tensorflow' runs here (tensorflow: no native`);
      expect(lines[0]).to.match(/try backend: wasm$/);
    }
  });

  it('because of a backend of its own is told of on both sides', async () => {
    const port = await freePort();
    const at = `127.0.0.1:${port}`;
    const head = processes.cli([...ARGS, '--listen', at, '--wait-ranks', '1', '--set', 'experts.resident=int8'], ENV);
    const rank = await processes.cli(['rank', '--head', at, '--rank', '1', '--backend', 'cpu'], ENV).ended;
    const ended = await head.ended;
    const why =
      'int8 weights need compute: kernels, this rank computes with cpu tensors; choose bf16 or f32, or backend: wasm';
    expect(told(rank.stderr)).to.deep.equal([`expertwire: INVALID_ARGUMENT: ${why}`]);
    expect(lastLine(ended.stderr)).to.equal(`expertwire: INVALID_ARGUMENT: rank 1 on ${hostname()}: ${why}`);
    expect([rank.code, ended.code]).to.deep.equal([1, 1]);
  });
});
