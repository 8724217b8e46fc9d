/** A codec of a plug-in between real processes: two of three ranks from elsewhere, experts that move, and what is said of one that fails. */
import { expect } from 'chai';
import { loadConfig } from '../../../lib/config/load.js';
import { Engine } from '../../../lib/head/engine.js';
import type { RebalanceEvent } from '../../../lib/head/rebalancing/rebalance_stats.js';
import { BF16_PLUGIN } from '../../kit/bf16_plugin.js';
import { MOVING, outcome } from '../../kit/engine/moving.js';
import { moe7m } from '../../kit/paths.js';
import { withPlugins } from '../../kit/plugin_folder.js';
import { freePort } from '../../kit/processes/ports.js';
import { lastLine, Processes } from '../../kit/processes/processes.js';
import { ranksFrom, SECRET } from '../../kit/processes/ranks_elsewhere.js';
import { isSameBits } from '../../refs/random.js';

const processes = new Processes();
const ENV = { env: { EXPERTWIRE_JOB_SECRET: SECRET } };
const WIRE = ['comm.reduce=source', 'comm.wire.dispatch=my_bf16', 'comm.wire.combine=my_bf16'];

describe('a codec of a plug-in between processes', function () {
  this.timeout(120_000);

  let expected: Awaited<ReturnType<typeof outcome>>;

  before(async () => {
    processes.markThisProcess();
    const comm = { reduce: 'source', wire: { dispatch: 'bf16', combine: 'bf16' } } as const;
    const alone = await Engine.start({ config: await loadConfig({ base: { model: moe7m(), comm } }) });
    expected = await outcome(alone).finally(() => alone.close());
  });
  afterEach(processes.expectNone);

  /** A job with the plug-in gives the bits of a rank alone with bf16. */
  async function expectBits(plugin: string, set: readonly string[], { ranks = 1, numElsewhere = 0 }): Promise<void> {
    const port = await freePort();
    const elsewhere = ranksFrom(
      processes,
      port,
      Array.from({ length: numElsewhere }, (_, i) => ranks + i),
    );
    const rebalances: RebalanceEvent[] = [];
    const engine = await Engine.start({
      config: await loadConfig({
        base: { model: moe7m(), parallel: { ranks }, plugins: [plugin] },
        overrides: [...WIRE, ...set],
      }),
      ...(numElsewhere > 0 && { numExternalRanks: numElsewhere, listen: { host: '127.0.0.1', port }, secret: SECRET }),
      onRebalance: (event) => void rebalances.push(event),
    });
    const got = await outcome(engine, rebalances, set === MOVING).finally(() => engine.close());
    expect(got.generated).to.deep.equal(expected.generated);
    expect(isSameBits(got.logits, expected.logits)).to.equal(true);
    for (const { ended } of elsewhere) expect(await ended).to.include({ code: 0, stdout: '' });
  }

  for (const [where, set, ranks] of [
    ['three ranks, two from elsewhere, while experts move', MOVING, { ranks: 1, numElsewhere: 2 }],
    ['four ranks on two nodes', ['comm.num_nodes=2', 'comm.micro_batches=2'], { ranks: 4 }],
    ['two ranks with an I/O thread each', ['comm.io_thread=true'], { ranks: 2 }],
    ['three ranks as threads', ['comm.transport=threads'], { ranks: 3 }],
  ] as const) {
    it(`gives the bits of the dtype that it reimplements: ${where}`, () =>
      withPlugins({ 'mine.mjs': BF16_PLUGIN }, (path) => expectBits(path('mine.mjs'), set, ranks)));
  }

  it('that asks its environment is refused where that says otherwise, with what it made of a row', async () => {
    const scale = BF16_PLUGIN.replace('bits[c] = code * 65536', 'bits[c] = code * (process.env.MY_SCALE ?? 65536)');
    await withPlugins({ 'mine.mjs': scale }, async (path) => {
      const port = await freePort();
      const [rank] = ranksFrom(processes, port, [1], [], { MY_SCALE: '32768' });
      const at = ['--listen', `127.0.0.1:${port}`, '--wait-ranks', '1', '--plugin', path('mine.mjs')];
      const keys = WIRE.flatMap((key) => ['--set', key]);
      const args = ['generate', '--model', moe7m(), '--prompt', 'x', ...at, ...keys];
      const head = await processes.cli(args, ENV).ended;
      const why = `plug-in ${path('mine.mjs')}, codec "my_bf16": decodes channel 0 of a trial row to `;
      for (const { code, stderr } of [head, await rank!.ended]) {
        expect(code).to.equal(1);
        expect(lastLine(stderr)).to.contain(why);
        expect(lastLine(stderr)).to.match(
          /PLUGINS_DIFFER: .* on rank 1, and to \S+ on the head; it must do the same everywhere/,
        );
      }
    });
  });

  for (const [fail, words, set] of [
    ['encode', 'encode threw Error: no more rows;', []],
    ['decode', 'decode gave a promise;', ['comm.on_peer_loss=mask']],
    ['encode', 'encode threw Error: no more rows;', ['comm.transport=threads']],
  ] as const) {
    it(`that fails in a step ends the command with its plug-in and its name: ${fail} ${set.join()}`, async () => {
      await withPlugins({ 'mine.mjs': BF16_PLUGIN }, async (path) => {
        const plugin = `plugins=[{path: ${path('mine.mjs')}, options: {fail: ${fail}, after: 100}}]`;
        const keys = [plugin, ...WIRE, ...set].flatMap((key) => ['--set', key]);
        const args = ['generate', '--model', moe7m(), '--ranks', '2', '--prompt', 'Call me Ishmael.'];
        const { code, stderr } = await processes.cli([...args, '--max-new-tokens', '400', ...keys]).ended;
        expect(code).to.equal(1);
        expect(lastLine(stderr)).to.contain(`: codec "my_bf16" of plug-in ${path('mine.mjs')}: ${words}`);
        expect(lastLine(stderr)).to.match(
          /^expertwire: RANK_(FAILED|LOST): .*rank [01] failed in step \d+: CODEC_FAILED: /,
        );
      });
    });
  }
});
