import { expect } from 'chai';
import { rm, writeFile } from 'node:fs/promises';
import { loadConfig } from '../../../lib/config/load.js';
import type { GateChoice } from '../../../experts/routing/custom_gate.js';
import { modelSpecOf } from '../../../lib/model/families/registry.js';
import type { ModelSpec } from '../../../lib/model/spec/spec.js';
import { PluginError } from '../../../lib/plugins/errors.js';
import { openGate, rankGate } from '../../../lib/plugins/gates.js';
import { loadJobPlugins, proofsOf } from '../../../lib/plugins/job_plugins.js';
import { loadPlugins } from '../../../lib/plugins/load_plugins.js';
import { PluginRegistry } from '../../../lib/plugins/plugin_registry.js';
import { readModelFiles } from '../../../lib/weights/model_files.js';
import { tinyModel } from '../../kit/paths.js';
import { withPlugins } from '../../kit/plugin_folder.js';
import { errorOf } from '../../kit/rejects.js';

const FILES = {
  'head/a.mjs': `import { name } from './part.mjs';\nexport default (api) => api.registerPlanner(name, () => []);`,
  'head/part.mjs': `export const name = 'mine';`,
  'rank/a.mjs': `import { name } from './part.mjs';\nexport default (api) => api.registerPlanner(name, () => []);`,
  'rank/part.mjs': `export const name = 'mine';`,
};

const specOf = async (): Promise<ModelSpec> => modelSpecOf((await readModelFiles(tinyModel('tiny-qwen3-moe'))).config);

describe('plug-ins of a job', () => {
  it('are the same code on every rank, wherever it lies; other code is refused before it runs, and its file named', () =>
    withPlugins(FILES, async (path) => {
      const { plugins } = await loadPlugins([{ path: path('head/a.mjs'), options: {} }]);
      expect([...(await loadJobPlugins(plugins)).planners.keys()]).to.deep.equal(['mine']);
      expect([...(await loadJobPlugins(plugins, [path('rank/a.mjs')])).planners.keys()]).to.deep.equal(['mine']);
      await writeFile(path('rank/part.mjs'), `throw new Error('it ran');`);
      const other = await errorOf(PluginError, () => loadJobPlugins(plugins, [path('rank/a.mjs')]));
      expect(other.message).to.match(
        /^PLUGINS_DIFFER: plug-in \S+rank\/a\.mjs: its code isn't the head's: part\.mjs is [0-9a-f]{12} here and [0-9a-f]{12} there \(\S+head\/a\.mjs\); copy the head's files to this machine, or name them with --plugin$/,
      );
      await writeFile(path('rank/a.mjs'), `export default () => {};`);
      const fewer = await errorOf(PluginError, () => loadJobPlugins(plugins, [path('rank/a.mjs')]));
      expect(fewer.message).to.match(/a\.mjs is [0-9a-f]{12} here and/);
      await rm(path('rank/a.mjs'));
      const missing = await errorOf(PluginError, () => loadJobPlugins(plugins, [path('rank/a.mjs')]));
      expect(missing.message).to.match(/^INVALID_PLUGIN: plug-in \S+rank\/a\.mjs: its file can't be read \(ENOENT/);
      const number = await errorOf(PluginError, () => loadJobPlugins(plugins, []));
      expect(number.message).to.match(
        /^PLUGINS_DIFFER: .* the head's plug-ins are 1 \(\S+head\/a\.mjs\), and here are 0; give --plugin once for each/,
      );
    }));

  it('are proved by their code and their options', () => {
    const code = { digest: 'd', files: {} };
    const proofs = [
      proofsOf([{ path: '/a', options: { p: 1 }, code }]),
      proofsOf([{ path: '/b', options: { p: 1 }, code }]),
      proofsOf([{ path: '/a', options: { p: 2 }, code }]),
      proofsOf([{ path: '/a', options: { p: 1 }, code: { ...code, digest: 'e' } }]),
    ].map((proof) => proof.map((bytes) => Buffer.from(bytes).toString()).join());
    expect(proofs[0]).to.equal(proofs[1]);
    expect(new Set(proofs).size).to.equal(3);
  });

  it('are refused where the same code chooses otherwise, with what it gave here and on the head', async () => {
    const config = await loadConfig({ base: { model: tinyModel('tiny-qwen3-moe') } });
    const spec = await specOf();
    const registryOf = async (first: number, numTopk: number): Promise<PluginRegistry> => {
      const registry = new PluginRegistry();
      const route = (_batch: unknown, own: (k: number) => { topkIdx: Int32Array; topkWeights: Float32Array }) => {
        const { topkIdx, topkWeights } = own(numTopk);
        return { topkIdx, topkWeights: topkWeights.map((weight, i) => (i % numTopk === 0 ? first : weight)) };
      };
      await registry.fill('a.mjs', (api) => api.registerGate('mine', { numTopk: () => numTopk, route }), {});
      return registry;
    };
    const chosen = { ...config, experts: { ...config.experts, gate: 'mine' } };
    const { gate, spec: told } = openGate(chosen, await registryOf(0.25, 2), spec);
    const on = (registry: PluginRegistry): GateChoice => rankGate(gate!, registry, told, 2);
    expect(on(await registryOf(0.25, 2)).numTopk).to.equal(2);
    const registry = await registryOf(0.5, 2);
    const other = await errorOf(PluginError, () => on(registry));
    expect(other.message).to.match(
      /^PLUGINS_DIFFER: plug-in a\.mjs, gate "mine": gave expert \d+ \(weight 0\.5\), \d+ \(weight [\d.]+\) to a trial token on rank 2, and expert \d+ \(weight 0\.25\), .* on the head; it must choose alike everywhere/,
    );
    const more = await registryOf(0.25, 3);
    expect((await errorOf(PluginError, () => on(more))).message).to.match(
      /makes 3 choices per token on rank 2 and 2 on the head/,
    );
    const none = await errorOf(PluginError, () => on(new PluginRegistry()));
    expect(none.message).to.match(/^PLUGINS_DIFFER: plug-in of the job, gate "mine": no plug-in brought it here/);
  });
});
