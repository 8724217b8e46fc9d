import { expect } from 'chai';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError } from '../../../lib/config/errors.js';
import { loadConfig, type LoadConfigOptions, type PartialConfig } from '../../../lib/config/load.js';
import type { ExpertwireConfig } from '../../../lib/config/schema.js';
import { moe7m } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

/** Loads this text as jobs/run.yaml, with plug-ins a.mjs in the current folder and b.mjs beside the file. */
const loadText = (
  text: string,
  options: LoadConfigOptions = {},
): Promise<{ readonly config: ExpertwireConfig; readonly cwd: string }> =>
  withTempFolder(async (cwd) => {
    await mkdir(join(cwd, 'jobs'));
    await writeFile(join(cwd, 'a.mjs'), '');
    await writeFile(join(cwd, 'jobs/b.mjs'), '');
    await writeFile(join(cwd, 'jobs/run.yaml'), text);
    const config = await loadConfig({ file: 'jobs/run.yaml', base: { model: moe7m() }, cwd, ...options });
    return { config, cwd };
  });

const refusal = async (text: string, options: LoadConfigOptions = {}): Promise<string> =>
  (await errorOf(ConfigError, () => loadText(text, options))).message;

describe('plugins of a configuration', () => {
  it('stand beside the file that lists them, or in the current folder where none does', async () => {
    const { config, cwd } = await loadText('plugins: [./b.mjs, { path: b.mjs, options: { p: [0.9, x] } }]');
    expect(config.plugins).to.deep.equal([
      { path: join(cwd, 'jobs/b.mjs'), options: {} },
      { path: join(cwd, 'jobs/b.mjs'), options: { p: [0.9, 'x'] } },
    ]);
    const set = await loadText('plugins: [./b.mjs]', { overrides: ['plugins=[a.mjs]'] });
    expect(set.config.plugins).to.deep.equal([{ path: join(set.cwd, 'a.mjs'), options: {} }]);
    const base = { model: moe7m(), plugins: ['a.mjs', { path: 'a.mjs', options: {} }] };
    expect((await loadText('', { base })).config.plugins).to.have.lengthOf(2);
  });

  it('are told by their place where they are missing or malformed', async () => {
    expect(await refusal('plugins:\n  - ./a.mjs')).to.match(
      /^NOT_FOUND: jobs\/run\.yaml:\d: "plugins" has "\.\/a\.mjs", but there is no such file \(looked for \S+\/jobs\/a\.mjs\); give the path of a module$/,
    );
    expect(await refusal('plugins: ./b.mjs')).to.match(
      /^WRONG_TYPE: jobs\/run\.yaml:1: "plugins" is "\.\/b\.mjs"; allowed is a list/,
    );
    expect(await refusal('plugins: [{ file: ./b.mjs }]')).to.match(
      /"plugins\.0" is \{"file":"\.\/b\.mjs"\}; allowed is a list of paths of modules/,
    );
    expect(await refusal('plugins: [{ path: b.mjs, options: 3 }]')).to.match(
      /^INVALID_VALUE: jobs\/run\.yaml:1: "plugins\.0/,
    );
  });

  it('with options that JSON can not hold are refused by the key that holds it', async () => {
    expect(await refusal('plugins: [{ path: b.mjs, options: { p: [1, .inf] } }]')).to.match(
      /^INVALID_VALUE: jobs\/run\.yaml:1: "plugins\.0\.options\.p\.1" is Infinity; allowed is what JSON has, with finite numbers$/,
    );
    for (const [p, given] of [
      [NaN, 'NaN'],
      [undefined, 'undefined'],
      [() => 1, 'a function'],
    ] as const) {
      const base = { model: moe7m(), plugins: [{ path: 'a.mjs', options: { fine: 1, p } }] } as PartialConfig;
      expect(await refusal('', { base })).to.contain(`"plugins.0.options.p" is ${given}; allowed is what JSON has`);
    }
  });

  it('may bring what is named; without any, names are those that are there', async () => {
    const names = 'experts: { gate: mine, replica_choice: mine }\nload_balance: { planner: mine }\n';
    const { config } = await loadText(`${names}plugins: [./b.mjs]`);
    expect(config.experts).to.include({ gate: 'mine', replica_choice: 'mine' });
    expect(config.load_balance.planner).to.equal('mine');
    expect(await refusal('experts: { gate: mine }')).to.equal(
      'INVALID_VALUE: jobs/run.yaml:1: "experts.gate" is "mine"; allowed is model; or list a plug-in that brings one in "plugins"',
    );
    expect(await refusal('load_balance: { planner: eplb_stabel }')).to.match(
      /"load_balance\.planner" is "eplb_stabel" \(did you mean "eplb_stable"\?\); allowed is eplb, eplb_stable, biased, linear, round_robin; or list/,
    );
  });
});
