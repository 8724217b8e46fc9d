/** The command line as a newcomer meets it: a model by its name, fetched and run, here and on machines that have a cache of their own. */
import { expect } from 'chai';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HubFault } from '../../../bench/pull/hub_exchange.js';
import { hubModel, type HubModel } from '../../../bench/pull/hub_model.js';
import { tinyGolden } from '../../kit/model/goldens.js';
import { smallModel, withHub } from '../../kit/hub/pulling.js';
import { moe7m, tinyModel } from '../../kit/paths.js';
import { commandLine, expectFailure, expectSuccess, ids, json } from '../../kit/processes/command_line.js';
import { freePort } from '../../kit/processes/ports.js';
import { Processes, until } from '../../kit/processes/processes.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const processes = new Processes();
const expertwire = commandLine(processes);
const SIZE = 3_000_000;

async function modelOf(name: string, folder: string): Promise<HubModel> {
  const paths = (await readdir(folder)).filter((path) => path !== 'golden.json');
  const contents = paths.map(async (path) => [path, await readFile(join(folder, path))] as const);
  return hubModel(name, [{ names: ['main'], files: Object.fromEntries(await Promise.all(contents)) }]);
}

/** The first answer with bytes of a large file stops after two million. */
function stallingOnce(): (request: { readonly url: string }) => HubFault | undefined {
  let numLeft = 1;
  return ({ url }) => (url.includes('/whole/') && numLeft-- > 0 ? { stallAfter: 2_000_000 } : undefined);
}

/** Until a megabyte of the model's weights is on the disk. */
async function untilSomeCame(cache: string): Promise<void> {
  const blobs = join(cache, 'models--org--small', 'blobs');
  const sizes = (): readonly number[] =>
    existsSync(blobs)
      ? readdirSync(blobs).map((name) => statSync(join(blobs, name), { throwIfNoEntry: false })?.size ?? 0)
      : [];
  await until(
    () => sizes().some((size) => size >= 2 ** 20),
    () => `nothing comes: ${JSON.stringify(sizes())}`,
  );
}

describe('expertwire pull', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  it('prints the folder of the model, which every command then takes by its name', async () =>
    withHub({ models: [await modelOf('org/moe-7m', moe7m())] }, async ({ env, hub, cache }) => {
      const { stdout, stderr, code } = await expertwire(['pull', 'org/moe-7m'], { env });
      expect(code, stderr).to.equal(0);
      expect(stdout).to.match(new RegExp(`^${cache}/models--org--moe-7m/snapshots/[0-9a-f]{40}\\n$`));
      expect(stderr).to.match(/^model.safetensors: 13\.4 MiB\n/m);
      expect(stderr).to.match(
        /org\/moe-7m at [0-9a-f]{7}: \d files, 13\.\d MiB, of which .*; expertwire generate --model org\/moe-7m\n$/,
      );
      const args = ['--prompt', 'Call me Ishmael.', '--max-new-tokens', '8'];
      const offline = { env: { HF_ENDPOINT: hub.url, HF_HUB_CACHE: cache, HF_HUB_OFFLINE: '1' } };
      const numAsked = hub.requests.length;
      const byFolder = await expertwire(['generate', '--model', moe7m(), ...args]); // the first one tries kernels, and says so
      const byName = await expertwire(['generate', '--model', 'org/moe-7m', ...args], offline);
      expect(expectSuccess(byName)).to.equal(byFolder.stdout);
      const scored = await expertwire(['score', '--model', 'org/moe-7m@main', '--text', 'Call me', '--json'], offline);
      expect(json(expectSuccess(scored))).to.have.property('perplexity');
      expect(hub.requests).to.have.length(numAsked);
      const again = await expertwire(['pull', 'org/moe-7m', '--json'], { env });
      expect(json(again.stdout)).to.include({ model: 'org/moe-7m', revision: 'main', fetched_bytes: 0 });
    }));

  it('lists what it would fetch', () =>
    withHub({ models: [smallModel('org/small', SIZE)] }, async ({ env, hub }) => {
      const { stdout } = await expertwire(['pull', 'org/small', '--dry-run'], { env });
      expect(stdout).to.match(/^config\.json +2 B\nmodel\.safetensors +2\.9 MiB\nall +2\.9 MiB\n$/);
      expect(hub.requests).to.have.length(2);
    }));

  it('says before the weights come that they can’t be run here', () =>
    withHub({ models: [smallModel('org/small', SIZE)] }, async ({ env }) => {
      const { stderr, code } = await expertwire(['pull', 'org/small'], { env });
      expect(code).to.equal(0);
      expect(stderr).to.match(/^note: expertwire can't run this model: .*model_type.*\nmodel\.safetensors/);
    }));

  it('Ctrl-C keeps what has come, and the next pull goes on there', () =>
    withHub({ models: [smallModel('org/small', SIZE)], faultOf: stallingOnce() }, async ({ env, cache, fetches }) => {
      const first = processes.cli(['pull', 'org/small'], { env });
      await untilSomeCame(cache);
      first.signalGroup('SIGINT');
      const { code, stdout, stderr } = await first.ended;
      expect([code, stdout]).to.deep.equal([130, '']);
      expect(stderr).to.match(/what has come stays; the same command goes on there\n$/);
      fetches();
      expect((await expertwire(['pull', 'org/small'], { env })).code).to.equal(0);
      const [again, ...more] = fetches();
      expect(again).to.match(/^bytes=[12]\d{6}-$/); // the last of what came may not have reached the disk
      expect(more).to.deep.equal([]);
    }));

  it('two at once fetch every file once, also when one of them is killed', () =>
    withHub(
      { models: [smallModel('org/small', SIZE)], faultOf: stallingOnce() },
      async ({ env, cache, fetches, listing }) => {
        const first = processes.cli(['pull', 'org/small'], { env });
        await untilSomeCame(cache);
        const second = processes.cli(['pull', 'org/small'], { env });
        await second.warns(/process \d+ of .* is fetching model\.safetensors already: waiting for it/);
        first.signal('SIGKILL');
        expect((await second.ended).code).to.equal(0);
        await first.ended;
        const ranges = fetches();
        expect(ranges.slice(0, 2)).to.deep.equal(['all', 'all']);
        expect(ranges.slice(2).join()).to.match(/^bytes=1\d{6}-$/);
        const left = (await listing()).filter((line) => line.includes('incomplete'));
        expect(left).to.deep.equal([]);
      },
    ));

  const MISTAKES: readonly [string, readonly string[], 1 | 2, ...string[]][] = [
    ['what is no name', ['pull', 'moe-7m'], 2, "'moe-7m' is no model's name", 'ORG/NAME'],
    ['two revisions', ['pull', 'org/small@v1', '--revision', 'v2'], 2, 'give one branch'],
    ['a revision that leads elsewhere', ['pull', 'org/small', '--revision', '../x'], 2, '--revision ../x'],
    ['a model that isn’t there', ['pull', 'org/none'], 1, 'NO_REPOSITORY', 'org/none'],
    ['a revision that isn’t there', ['pull', 'org/small', '--revision', 'v9'], 1, 'NO_REVISION', 'v9'],
    [
      'a model that wasn’t pulled',
      ['generate', '--model', 'org/small', '--prompt', 'x'],
      2,
      '`expertwire pull org/small`',
    ],
  ];
  for (const [what, args, code, ...words] of MISTAKES)
    it(`is told of ${what}`, () =>
      withHub({ models: [smallModel('org/small', 10)] }, async ({ env }) => {
        expectFailure(await expertwire(args, { env }), code, ...words);
      }));

  const tokens = tinyGolden('tiny-qwen3-moe');
  const SECRET = { EXPERTWIRE_JOB_SECRET: 'a secret of this test' };
  const jobOf = (port: number): readonly [string[], string[]] => [
    [
      ...['generate', '--model', 'org/tiny', '--prompt-ids', ids(tokens.prompt_token_ids), '--json'],
      ...[
        '--max-new-tokens',
        '24',
        '--ignore-eos',
        '--ranks',
        '1',
        '--listen',
        `127.0.0.1:${port}`,
        '--wait-ranks',
        '1',
      ],
    ],
    ['rank', '--head', `127.0.0.1:${port}`],
  ];

  it('a rank elsewhere takes the same commit from its own cache; without it, it says what to pull there', async () =>
    withHub({ models: [await modelOf('org/tiny', tinyModel('tiny-qwen3-moe'))] }, async ({ cache, pull }) =>
      withTempFolder(async (other) => {
        const { commit } = await pull('org/tiny');
        const elsewhere = { ...SECRET, HF_HUB_CACHE: other };
        for (const isPulled of [false, true]) {
          if (isPulled) await pull('org/tiny', { env: { HF_HUB_CACHE: other } });
          const [headArgs, rankArgs] = jobOf(await freePort());
          // A path that leads to the model in the head's processes alone, as on another machine.
          const head = processes.cli(headArgs, { env: { ...SECRET, HF_HUB_CACHE: '/proc/self/cwd' }, cwd: cache });
          const rank = await expertwire(rankArgs, { env: elsewhere });
          const { stdout, stderr } = await head.ended;
          if (isPulled) {
            expectSuccess(rank);
            expect(json(stdout.split('\n')[0]!).token_ids).to.deep.equal(tokens.greedy_token_ids);
          } else {
            expectFailure(rank, 1, 'MODEL_NOT_FOUND', `expertwire pull org/tiny@${commit}`);
            expect(stderr).to.match(/MODEL_NOT_FOUND: rank 1 on .*expertwire pull org\/tiny@/);
          }
        }
      }),
    ));
});
