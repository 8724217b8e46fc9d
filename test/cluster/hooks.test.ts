/** Hooks over real ranks: processes, some of them from elsewhere, threads, nodes; and router logits on the command line. */
import { expect } from 'chai';
import { join } from 'node:path';
import { readRecording } from '../../experts/load/recording_reader.js';
import { loadConfig } from '../../lib/config/load.js';
import { Engine } from '../../lib/head/engine.js';
import { generateIds, startEngine } from '../kit/engine/engines.js';
import { MOVING } from '../kit/engine/moving.js';
import { Seen } from '../kit/engine/seen.js';
import { moe7mCases } from '../kit/model/goldens.js';
import { moe7m, repoRoot } from '../kit/paths.js';
import { commandLine, expectFailure } from '../kit/processes/command_line.js';
import { freePort } from '../kit/processes/ports.js';
import { Processes } from '../kit/processes/processes.js';
import { ranksFrom, SECRET } from '../kit/processes/ranks_elsewhere.js';
import { withTempFolder } from '../kit/temp_folder.js';

const PROMPT = moe7mCases()[0]!.prompt_token_ids;
const REQUEST = { promptTokenIds: PROMPT, maxNewTokens: 24, ignoreEos: true };

const processes = new Processes();
const expertwire = commandLine(processes);

describe('hooks over ranks', function () {
  this.timeout(90_000);
  let alone: readonly string[];

  before(async () => {
    const seen = new Seen();
    const engine = await startEngine({ model: moe7m(), ranks: 1, reduce: 'source' });
    await generateIds(engine, { ...REQUEST, hooks: [seen.hook] });
    await engine.close();
    alone = seen.bits();
  });
  afterEach(processes.expectNone);

  for (const [name, ranks, set] of [
    ['as threads', 3, ['comm.transport=threads', 'comm.micro_batches=2']],
    ['on two nodes', 4, ['comm.num_nodes=2']],
  ] as const) {
    it(`${ranks} ranks ${name} tell what one rank alone tells, to the bit`, async () => {
      const seen = new Seen();
      const engine = await startEngine({ model: moe7m(), ranks, reduce: 'source', set });
      try {
        await generateIds(engine, { ...REQUEST, hooks: [seen.hook] });
      } finally {
        await engine.close();
      }
      expect(seen.bits()).to.deep.equal(alone);
    });
  }

  it('with a gate of a plug-in they tell its choices, −1 and zeros where it chose fewer, and the model’s own logits', async () => {
    const overrides = ['experts.gate=expert_choice'];
    const plugins = [join(repoRoot(), 'examples', 'plugins', 'expert_choice_gate.mjs')];
    const config = await loadConfig({ base: { model: moe7m(), parallel: { ranks: 2 }, plugins }, overrides });
    const [seen, own] = [new Seen(), new Seen({ routerLogits: [1] })];
    const engine = await Engine.start({ config, hooks: [seen.hook] });
    try {
      await engine.score({ tokenIds: PROMPT });
    } finally {
      await engine.close();
    }
    const plain = await startEngine({ model: moe7m(), ranks: 2 });
    await plain.score({ tokenIds: PROMPT, hooks: [own.hook] }).finally(() => plain.close());
    for (const position of PROMPT.keys()) {
      const { experts } = seen.at('routing', 1, position);
      expect(experts).to.have.length(32);
      const { values } = seen.at('expertOutputs', 1, position);
      experts.forEach((expert, k) => {
        const size = values.length / experts.length;
        expect(values.subarray(k * size, (k + 1) * size).some((value) => value !== 0)).to.equal(expert >= 0);
      });
      expect(seen.at('routerLogits', 1, position).values).to.deep.equal(own.at('routerLogits', 1, position).values);
    }
  });

  it('two ranks from elsewhere, and experts that move meanwhile, change nothing of it', async () => {
    const listen = { host: '127.0.0.1', port: await freePort() };
    const others = ranksFrom(processes, listen.port, [1, 2]);
    const base = { model: moe7m(), parallel: { ranks: 1 } };
    const overrides = ['comm.reduce=source', ...MOVING];
    const seen = new Seen();
    const config = await loadConfig({ base, overrides });
    const engine = await Engine.start({ config, listen, secret: SECRET, numExternalRanks: 2, hooks: [seen.hook] });
    try {
      await generateIds(engine, REQUEST);
      expect(engine.stats().rebalancing!.numRebalances).to.be.above(0);
    } finally {
      await engine.close();
    }
    expect((await Promise.all(others.map(({ ended }) => ended))).map(({ code }) => code)).to.deep.equal([0, 0]);
    expect(seen.bits()).to.deep.equal(alone);
  });
});

describe('router logits on the command line', function () {
  this.timeout(60_000);

  it('are in --json and in a recording of tokens, of the same share of the tokens', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'r.jsonl.gz');
      const command = [
        'generate',
        '--model',
        moe7m(),
        '--ranks',
        '2',
        '--prompt-ids',
        PROMPT.join(),
        '--max-new-tokens',
        '4',
      ];
      const asked = ['--json', '--return-router-logits', '0.5', '--record', file, '--record-mode', 'per_token'];
      const { code, stdout, stderr } = await expertwire([...command, ...asked]);
      expect(code, stderr).to.equal(0);
      const [line] = stdout.split('\n');
      const { router_logits: told } = JSON.parse(line!) as { router_logits: (number[][] | null)[] };
      const recorded = new Map<number, number[]>();
      for await (const each of readRecording(file)) {
        if (each.kind !== 'token' || each.record.routerLogits === undefined) continue;
        recorded.set(each.record.position, [...each.record.routerLogits]);
      }
      expect(recorded.size).to.be.within(1, told.length - 1);
      told.forEach((layers, position) => expect(layers?.flat().map(Math.fround)).to.deep.equal(recorded.get(position)));
    });
  });

  it('ask for --json or a recording of tokens, and for a share that there is', async () => {
    const command = ['generate', '--model', moe7m(), '--prompt-ids', '5', '--return-router-logits'];
    for (const [args, reason] of [
      [['--max-new-tokens', '2'], /--return-router-logits is for --json, or --record FILE --record-mode per_token/],
      [['2', '--json'], /--return-router-logits "2": give a share of the tokens, over 0, up to 1/],
    ] as const) {
      expectFailure(await expertwire([...command, ...args]), 2, reason);
    }
  });
});
