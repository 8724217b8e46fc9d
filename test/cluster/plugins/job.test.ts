/** Plug-ins of every kind between real processes: two of three ranks from elsewhere, experts that move, and what is said where one differs or fails. */
import { expect } from 'chai';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadConfig } from '../../../lib/config/load.js';
import { Engine } from '../../../lib/head/engine.js';
import type { RebalanceEvent } from '../../../lib/head/rebalancing/rebalance_stats.js';
import { MOVING, outcome } from '../../kit/engine/moving.js';
import { moe7m, repoRoot } from '../../kit/paths.js';
import { withPlugins } from '../../kit/plugin_folder.js';
import { freePort } from '../../kit/processes/ports.js';
import { lastLine, Processes, type Ended } from '../../kit/processes/processes.js';
import { ranksFrom, SECRET } from '../../kit/processes/ranks_elsewhere.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { isSameBits } from '../../refs/random.js';

const processes = new Processes();
const EXAMPLES = join(repoRoot(), 'examples/plugins');
const FILES = ['renamed_family', 'top_p_gate', 'greedy_planner', 'fewest_hops', 'int4'].map((name) => `${name}.mjs`);

/** A family, a gate with other numbers of choices, a planner, a replica choice and a codec, in the bitwise tier. */
const SETTINGS = {
  model: moe7m(),
  model_overrides: { model_type: 'mine' },
  plugins: [
    { path: join(EXAMPLES, FILES[0]!), options: { name: 'mine', like: 'deepseek_v3' } },
    { path: join(EXAMPLES, FILES[1]!), options: { p: 0.7, most: 6 } },
    ...FILES.slice(2).map((name) => join(EXAMPLES, name)),
  ],
  comm: { reduce: 'source', wire: { dispatch: 'int4', combine: 'f32' } },
} as const;
const CHOSEN = ['experts.gate=top_p', 'experts.replica_choice=fewest_hops', 'load_balance.planner=greedy'];

describe('plug-ins between processes', function () {
  this.timeout(120_000);

  let expected: Awaited<ReturnType<typeof outcome>>;

  before(async () => {
    processes.markThisProcess();
    const alone = await Engine.start({ config: await loadConfig({ base: SETTINGS, overrides: CHOSEN }) });
    expected = await outcome(alone).finally(() => alone.close());
    const numChoices = expected.generated.flatMap(({ routedExperts }) =>
      routedExperts.flat().map(({ length }) => length),
    );
    expect(Math.max(...numChoices)).to.be.greaterThan(Math.min(...numChoices));
  });
  afterEach(processes.expectNone);

  /** A job with all of them gives the bits of a rank alone. */
  async function expectBits(set: readonly string[], ranks: number, elsewhere: readonly string[] | null): Promise<void> {
    const port = await freePort();
    const joining = elsewhere === null ? [] : ranksFrom(processes, port, [ranks, ranks + 1], elsewhere);
    const rebalances: RebalanceEvent[] = [];
    const base = { ...SETTINGS, parallel: { ranks } };
    const engine = await Engine.start({
      config: await loadConfig({ base, overrides: [...CHOSEN, ...MOVING, 'experts.num_redundant_experts=8', ...set] }),
      onRebalance: (event) => void rebalances.push(event),
      ...(elsewhere !== null && { numExternalRanks: 2, listen: { host: '127.0.0.1', port }, secret: SECRET }),
    });
    const actual = await outcome(engine, rebalances, true).finally(() => engine.close());
    for (const { code, stderr } of await Promise.all(joining.map(({ ended }) => ended)))
      expect(code, stderr).to.equal(0);
    expect(actual.generated).to.deep.equal(expected.generated);
    expect(isSameBits(actual.logits, expected.logits)).to.equal(true);
    expect(engine.stats().rebalancing!.numFailed).to.equal(0);
  }

  it('three ranks, two of them from elsewhere with copies of the files, give the bits of one while experts move', () =>
    withTempFolder(async (dir) => {
      await cp(EXAMPLES, join(dir, 'copied'), { recursive: true });
      const paths = FILES.flatMap((name) => ['--plugin', join(dir, 'copied', name)]);
      await expectBits([], 1, paths);
    }));

  it('so do ranks as threads, with micro-batches', async () => {
    await expectBits(['comm.transport=threads', 'comm.micro_batches=2'], 2, null);
  });

  /** How a head and ranks from elsewhere end, whose files are `theirs`. One that is refused is alone: another might come when the job is over, and look for it. */
  const jobOf = (
    files: Readonly<Record<string, string>>,
    numRanks: number,
    theirs: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly head: Ended; readonly ranks: readonly Ended[] }> =>
    withPlugins(files, async (path, dir) => {
      const port = await freePort();
      const prompts = ['Call me', 'And the LORD', 'It was'].map((text) => JSON.stringify(text)).join();
      const yaml = `plugins: [./a.mjs]\nexperts: { gate: mine }\nmodel: ${moe7m()}\ngenerate: { prompts: [${prompts}] }\n`;
      await mkdir(join(dir, 'head'), { recursive: true });
      await writeFile(path('head/run.yaml'), yaml);
      const where = ['--listen', `127.0.0.1:${port}`, '--wait-ranks', `${numRanks}`];
      const head = processes.cli(['generate', '--config', path('head/run.yaml'), '--max-new-tokens', '4', ...where], {
        env: { EXPERTWIRE_JOB_SECRET: SECRET },
      });
      const ranks = ranksFrom(
        processes,
        port,
        Array.from({ length: numRanks }, (_, i) => i + 1),
        theirs.flatMap((name) => ['--plugin', path(name)]),
        env,
      );
      return { head: await head.ended, ranks: await Promise.all(ranks.map(({ ended }) => ended)) };
    });

  const gate = (route: string): string =>
    `export default (api) => api.registerGate('mine', { route(batch, own) { ${route} } });`;

  it('ranks with other code are refused before it runs, with the plug-in and the file that differs', async () => {
    const files = {
      'head/a.mjs': `import './part.mjs';\n${gate('return own();')}`,
      'head/part.mjs': '',
      'theirs/a.mjs': `import './part.mjs';\n${gate('return own();')}`,
      'theirs/part.mjs': `throw new Error('it ran');`,
    };
    const { head, ranks } = await jobOf(files, 1, ['theirs/a.mjs']);
    expect(head.code).to.equal(1);
    expect(lastLine(head.stderr)).to.match(
      /^expertwire: PLUGINS_DIFFER: rank 1 on \S+: plug-in \S+theirs\/a\.mjs: its code isn't the head's: part\.mjs is [0-9a-f]{12} here and [0-9a-f]{12} there \(\S+head\/a\.mjs\); copy the head's files/,
    );
    for (const { code, stderr } of ranks)
      expect([code, stderr]).to.satisfy(() => code === 1 && !stderr.includes('it ran'));
    const same = await jobOf(files, 2, ['head/a.mjs']);
    expect(same.head.code, same.head.stderr).to.equal(0);
  });

  it('ranks where the same code chooses otherwise are refused, with what it gave', async () => {
    const route = `const { topkIdx, topkWeights } = own(); return { topkIdx, topkWeights: topkWeights.map((w) => w * (process.env.FACTOR ?? 1)) };`;
    const { head } = await jobOf({ 'head/a.mjs': gate(route) }, 1, [], { FACTOR: '2' });
    expect(head.code).to.equal(1);
    expect(lastLine(head.stderr)).to.match(
      /^expertwire: PLUGINS_DIFFER: rank 1 on \S+: plug-in \S+a\.mjs, gate "mine": gave expert \d+ \(weight [\d.]+\), .* to a trial token on rank 1, and expert .* on the head; it must choose alike everywhere/,
    );
  });

  it('what a plug-in leaves open keeps neither head nor ranks, and is told', async () => {
    const { head, ranks } = await jobOf(
      { 'head/a.mjs': `setInterval(() => {}, 1e6);\n${gate('return own();')}` },
      2,
      [],
    );
    for (const { code, stderr } of [head, ...ranks]) {
      expect(code, stderr).to.equal(0);
      expect(stderr).to.match(/ended although something was left open \(.*Timeout/);
    }
  });

  it('a gate that fails in a step ends the job, with the rank, the plug-in and what it gave', async () => {
    const route = `if (batch.rank === 2 && batch.step > 0) throw new Error('no idea'); return own();`;
    const text = gate(route).replace('{ route', `{ dependsOn: 'batch', route`);
    const { head, ranks } = await jobOf({ 'head/a.mjs': text }, 2, []);
    expect(head.code).to.equal(1);
    expect(lastLine(head.stderr)).to.match(
      /^expertwire: RANK_FAILED: rank 2 failed in step \d+: PLUGIN_FAILED: plug-in \S+a\.mjs, gate "mine": threw in MoE layer 0 of step \d+: no idea; mend it$/,
    );
    expect(ranks.map(({ code }) => code)).to.deep.equal([1, 1]);
  });
});
