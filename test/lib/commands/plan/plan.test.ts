import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createPlacement } from '../../../../experts/placement/placement.js';
import { placementFromJson } from '../../../../experts/placement/placement_json.js';
import { createPlanner, PLANNERS } from '../../../../experts/placement/planners/index.js';
import { UsageError } from '../../../../lib/commands/base/context.js';
import { runCommand } from '../../../../lib/commands/parser.js';
import { commandContext } from '../../../kit/processes/command_context.js';
import { repoRoot } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';
import { withPlugins } from '../../../kit/plugin_folder.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

interface Golden {
  readonly weight: readonly (readonly number[])[];
  readonly phy2log: readonly (readonly number[])[];
  readonly logcnt: readonly (readonly number[])[];
  readonly balancedness_mean_over_max: readonly number[];
}

const { cases } = JSON.parse(readFileSync(join(repoRoot(), 'test', 'data', 'load', 'eplb.json'), 'utf8')) as {
  readonly cases: readonly [Golden];
};
const [README] = cases;

/** What `expertwire plan` prints for a load file of this text. */
async function plan(text: string, ...args: readonly string[]): Promise<string> {
  return withTempFolder(async (dir) => {
    const file = join(dir, 'load.json');
    await writeFile(file, text);
    return planFile(file, ...args);
  });
}

async function planFile(file: string, ...args: readonly string[]): Promise<string> {
  const context = commandContext();
  await runCommand(['plan', '--load', file, ...args], context);
  return context.printed();
}

const WEIGHT = JSON.stringify({ weight: README.weight });
const GROUPED = ['--ranks', '8', '--slots', '16', '--nodes', '2', '--groups', '4'];

describe('expertwire plan', () => {
  it('plans the smallest and the largest loads as their proportions', async () => {
    for (const weight of ['[[5e-324,0,0,0]]', '[[1e308,1e308,1,0]]', '[[5e-324,1e308,1,0]]']) {
      for (const planner of PLANNERS) {
        const text = await plan(`{"weight":${weight}}`, '--ranks', '2', '--slots', '6', '--planner', planner);
        expect(text, `${weight} ${planner}`).to.match(/^all +[01]\.\d{4} +[01]\.\d{4} +[01]\.\d{4} +[01]\.\d{4}$/m);
      }
    }
  });

  it('ends when it is told to, however long the plan takes', async () => {
    const weight = JSON.stringify({
      weight: Array.from({ length: 60 }, () => Array.from({ length: 256 }, (_, e) => e)),
    });
    const interrupted = new AbortController();
    await withTempFolder(async (dir) => {
      const file = join(dir, 'load.json');
      await writeFile(file, weight);
      const context = { ...commandContext(), signal: interrupted.signal };
      const args = ['plan', '--load', file, '--ranks', '64', '--slots', '4096', '--planner', 'eplb_stable'];
      const planning = runCommand(args, context);
      setTimeout(() => interrupted.abort(), 300);
      const error = await errorOf(UsageError, () => planning);
      expect(error.message).to.equal('the planning thread ended');
    });
  });

  it('writes nothing where it was told to end while it read', async () => {
    await withTempFolder(async (dir) => {
      const [load, output] = [join(dir, 'load.json'), join(dir, 'out.json')];
      await writeFile(load, WEIGHT);
      const context = { ...commandContext(), signal: AbortSignal.abort(new Error('told to end')) };
      const planning = runCommand(['plan', '--load', load, ...GROUPED, '--output', output], context);
      expect((await errorOf(Error, () => planning)).message).to.equal('told to end');
      expect(await readdir(dir)).to.deep.equal(['load.json']);
    });
  });

  it('measures a layer whose loads are the smallest numbers beside ordinary ones', async () => {
    const text = await plan('{"weight":[[5e-324,0,0,0],[1,1,1,1]]}', '--ranks', '2');
    expect(text).to.match(/^layer 0 +0\.5000 /m);
  });

  it('--json prints the published plan, its inverse maps and the balance of each layer', async () => {
    const text = await plan(WEIGHT, ...GROUPED, '--json');
    expect(text.trimEnd().split('\n')).to.have.length(1);
    const printed = JSON.parse(text) as Record<string, number[][] & number[]> & { readonly log2phy: number[][][] };
    expect(Object.keys(printed)).to.deep.equal(['phy2log', 'log2phy', 'logcnt', 'balancedness']);
    expect(printed.phy2log).to.deep.equal(README.phy2log);
    expect(printed.logcnt).to.deep.equal(README.logcnt);
    printed.log2phy.forEach((experts, layer) =>
      experts.forEach((held, logical) => {
        const expected = README.phy2log[layer]!.flatMap((each, p) => (each === logical ? [p] : []));
        expect(held).to.deep.equal(expected);
      }),
    );
    printed.balancedness!.forEach((figure: number, layer: number) =>
      expect(figure).to.be.closeTo(README.balancedness_mean_over_max[layer]!, 1e-6),
    );
  });

  it('the table shows the balance before and after, by layer, the slots moved and the plan time', async () => {
    const text = await plan(WEIGHT, ...GROUPED, '--planner', 'eplb_stable');
    expect(text).to.contain('eplb_stable: 2 layers of 12 experts in 16 slots on 8 ranks; before: linear, one replica ');
    expect(text).to.contain("(assumed: the load doesn't say which placement ran)\n");
    expect(text).to.match(/even before +even after +balanced before +balanced after/);
    expect(text).to.match(/^all( +0\.\d{4}){4}$/m);
    expect(text).to.match(/^layer 1( +0\.\d{4}){4}$/m);
    expect(text).to.match(/^moved slots \d+ of 32 .* plan time [\d.]+ ms$/m);
  });

  it('a planner of a plug-in plans as those that are there', async () => {
    const greedy = ['--plugin', join(repoRoot(), 'examples/plugins/greedy_planner.mjs'), '--planner', 'greedy'];
    const text = await plan(WEIGHT, ...GROUPED, ...greedy);
    expect(text).to.match(/^greedy: 2 layers of 12 experts in 16 slots on 8 ranks/);
    const [, before, after] = /^all +([01]\.\d{4}) +([01]\.\d{4})/m.exec(text)!;
    expect(Number(after)).to.be.greaterThan(Number(before));
    const wrong = `export default (api) => api.registerPlanner('mine', () => { throw new Error('no idea'); });`;
    await withPlugins({ 'mine.mjs': wrong }, async (path) => {
      const error = await errorOf(UsageError, () =>
        plan(WEIGHT, ...GROUPED, '--plugin', path('mine.mjs'), '--planner', 'mine'),
      );
      expect(error.message).to.match(/^PLUGIN_FAILED: plug-in \S+mine\.mjs, planner "mine": threw: no idea/);
    });
  });

  it('without --slots, every expert has one; without --planner, eplb plans', async () => {
    const printed = JSON.parse(await plan('{"weight": [[9, 1, 1, 1]]}', '--ranks', '2', '--json')) as {
      readonly phy2log: number[][];
    };
    const expected = createPlanner('eplb').plan([[9, 1, 1, 1]], { numRanks: 2, numSlots: 4 }, null).placement;
    expect(printed.phy2log).to.deep.equal([[...expected.phy2log[0]!]]);
  });

  it('--output writes a placement that --current starts from: then nothing moves', async () => {
    await withTempFolder(async (dir) => {
      const [load, file] = [join(dir, 'load.json'), join(dir, 'p.json')];
      await writeFile(load, WEIGHT);
      const args = ['--ranks', '5', '--slots', '17', '--planner', 'eplb_stable'];
      await planFile(load, ...args, '--output', file);
      const shape = { numLayers: 2, numExperts: 12, numRanks: 5 };
      const written = placementFromJson(JSON.parse(await readFile(file, 'utf8')), shape);
      const topology = { numRanks: 5, numSlots: 17 };
      const linear = createPlacement('linear', shape);
      const { placement } = createPlanner('eplb_stable').plan(README.weight, topology, linear);
      expect(written.phy2log).to.deep.equal(placement.phy2log);
      const again = await planFile(load, ...args, '--current', file);
      expect(again).to.contain(`before: ${file}`).and.contain('moved slots 0 of 34');
      expect(await planFile(load, ...args, '--move-cost', '1000')).to.contain('moved slots 10 of 34');
    });
  });

  it('refuses files and options that make no sense, naming which', async () => {
    const ranks = ['--ranks', '2'];
    for (const [text, args, words] of [
      ['{', ranks, /--load .* can't be read/],
      ['{}', ranks, /has no load; give \{"weight"/],
      ['null', ranks, /has no load/],
      ['{"weight": [[1, "2"]]}', ranks, /has no load/],
      ['{"weight": [[1, null]]}', ranks, /has no load/],
      ['{"weight": []}', ranks, /^INVALID_ARGUMENT: the load has no layers/],
      ['{"weight": [[1, -2]]}', ranks, /^INVALID_ARGUMENT: .* is -2; give a finite number from 0$/],
      ['{"weight": [[1, 1e999]]}', ranks, /^INVALID_ARGUMENT: .* is Infinity/],
      ['{"weight": [[1, 2, 3]]}', ranks, /^INVALID_ARGUMENT: eplb needs slots that divide by the ranks, got 3 on 2/],
      ['{"weight": [[1, 2, 3]]}', [...ranks, '--slots', '2'], /^INVALID_ARGUMENT: 2 slots for 3 experts/],
      ['{"weight": [[1, 2]]}', [], /ranks/],
      ['{"weight": [[1, 2]]}', ['--ranks', '0'], /--ranks is not a whole number from 1/],
      ['{"weight": [[1, 2]]}', [...ranks, '--slots', '2.5'], /--slots is not a whole number/],
      ['{"weight": [[1, 2]]}', [...ranks, '--nodes', '-1'], /--nodes is not a whole number/],
      [
        '{"weight": [[1, 2]]}',
        [...ranks, '--planner', 'magic'],
        /--planner: there is no "magic"; give eplb, .*, or a --plugin that brings it/,
      ],
      ['{"weight": [[1, 2]]}', [...ranks, '--current', '/nowhere.json'], /--current: \/nowhere\.json can't be used/],
    ] as const) {
      const error = await errorOf(UsageError, () => plan(text, ...args));
      expect(error.message).to.match(words);
    }
    await errorOf(UsageError, () => planFile('/nowhere.json', ...ranks));
  });
});
