import { expect } from 'chai';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createPlacement } from '../../../experts/placement/placement.js';
import { ConfigError } from '../../../lib/config/errors.js';
import { loadConfig } from '../../../lib/config/load.js';
import { readPlacement } from '../../../lib/config/placement_file.js';
import { moe7m } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const only = (placement: string) => ({ placement, num_redundant_experts: 0 });
const SHAPE = { numLayers: 1, numExperts: 3, numRanks: 2 };

describe('experts.placement', () => {
  it('a strategy is itself, a file is found from the current folder or from the configuration upwards', async () => {
    expect((await loadConfig({ base: { model: moe7m() } })).experts.placement).to.equal('linear');
    await withTempFolder(async (dir) => {
      await mkdir(join(dir, 'configs'));
      await mkdir(join(dir, 'm'));
      await writeFile(join(dir, 'p.json'), '{}');
      await writeFile(join(dir, 'configs', 'run.yaml'), 'model: m\nexperts: { placement: p.json }');
      const fromFile = await loadConfig({ file: join(dir, 'configs', 'run.yaml'), cwd: '/' });
      expect(fromFile.experts.placement).to.equal(join(dir, 'p.json'));
      const overrides = ['experts.placement=p.json'];
      expect((await loadConfig({ base: { model: 'm' }, overrides, cwd: dir })).experts.placement).to.equal(
        join(dir, 'p.json'),
      );
    });
  });

  it('neither a strategy nor a file: says what was looked for, or what was meant', async () => {
    for (const [value, words] of [
      ['liner', 'did you mean "linear"?'],
      ['nowhere.json', 'looked for /nowhere.json'],
      ['/', 'looked for /'], // a folder
    ] as const) {
      const loading = () =>
        loadConfig({ base: { model: moe7m() }, overrides: [`experts.placement=${value}`], cwd: '/' });
      const error = await errorOf(ConfigError, loading);
      expect(error).to.include({ code: 'INVALID_VALUE', key: 'experts.placement' });
      expect(error.message).to.contain(words).and.contain('linear, round_robin or the path of a placement file');
    }
  });

  it('gives the strategy, or what the file says', async () => {
    expect(await readPlacement(only('round_robin'), SHAPE)).to.deep.equal(createPlacement('round_robin', SHAPE));
    await withTempFolder(async (dir) => {
      const file = join(dir, 'p.json');
      await writeFile(file, '{"num_ranks": 2, "phy2log": [[2, -1, 0, 1]]}');
      expect([...(await readPlacement(only(file), SHAPE)).phy2log[0]!]).to.deep.equal([2, -1, 0, 1]);
    });
  });

  it('num_redundant_experts adds copies to a strategy', async () => {
    const { phy2log } = await readPlacement({ placement: 'linear', num_redundant_experts: 1 }, SHAPE);
    expect([...phy2log[0]!]).to.deep.equal([0, 1, 2, 0]);
  });

  it('num_redundant_experts: refuses more copies than ranks that lack an expert, and a file beside it, with all numbers', async () => {
    for (const [placement, count, words] of [
      ['linear', 4, "4 redundant experts don't fit 3 experts on 2 ranks: with 3 every rank holds every expert"],
      [
        'plan.json',
        2,
        '2 beside plan.json, which says itself which experts are redundant; leave it out, or plan with --slots 5',
      ],
    ] as const) {
      const error = await errorOf(ConfigError, () => readPlacement({ placement, num_redundant_experts: count }, SHAPE));
      expect(error).to.include({ code: 'INVALID_VALUE', key: 'experts.num_redundant_experts' });
      expect(error.message).to.contain(`"experts.num_redundant_experts": ${words}`);
    }
  });

  it('refuses a missing expert, broken JSON and what does not fit, naming the file', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'p.json');
      for (const [text, words] of [
        ['{"phy2log": [[2, 2, 0, 2]]}', 'layer 0 has no slot for expert 1'],
        ['{"phy2log": [[2, 1, 0', 'JSON'],
        ['{"phy2log": [[2, 1, 0, 4]]}', 'slot 3 holds 4'],
      ] as const) {
        await writeFile(file, text);
        const error = await errorOf(ConfigError, () => readPlacement(only(file), SHAPE));
        expect(error).to.include({ code: 'INVALID_VALUE', key: 'experts.placement' });
        expect(error.message).to.contain(words).and.contain(file);
      }
      await errorOf(ConfigError, () => readPlacement(only(join(dir, 'gone.json')), SHAPE));
    });
  });
});
