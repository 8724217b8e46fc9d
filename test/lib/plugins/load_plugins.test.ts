import { expect } from 'chai';
import { PluginError } from '../../../lib/plugins/errors.js';
import { loadPlugins, type LoadedPlugins, type LoadPluginsOptions } from '../../../lib/plugins/load_plugins.js';
import type { PluginApi } from '../../../lib/plugins/plugin.js';
import { PluginRegistry } from '../../../lib/plugins/plugin_registry.js';
import { withPlugins } from '../../kit/plugin_folder.js';
import { errorOf } from '../../kit/rejects.js';

const GATE = `{ route: () => ({ topkIdx: new Int32Array(0), topkWeights: new Float32Array(0) }) }`;
const CODEC = `{ rowBytes: (hidden) => hidden, encode() {}, decode() {} }`;

const load = (
  text: string,
  options: Readonly<Record<string, unknown>> = {},
  how: LoadPluginsOptions = {},
): Promise<LoadedPlugins> =>
  withPlugins({ 'mine.mjs': text }, (path) => loadPlugins([{ path: path('mine.mjs'), options }], how));

/** The message of a plug-in of this text, whose function's body is given. */
const refusal = async (text: string, how: LoadPluginsOptions = {}): Promise<string> =>
  (await errorOf(PluginError, () => load(text, {}, how))).message;
const refusalOf = (body: string): Promise<string> => refusal(`export default (api, options) => { ${body} };`);

describe('plug-ins', () => {
  it('register what they bring with whoever loads them, by what their entry says', async () => {
    const text = `export default async (api, { name }) => {
      api.registerGate(name, ${GATE});
      api.registerPlanner(name, () => []);
      await null;
      api.registerReplicaChoice(name, () => ({ choose: (topkIdx) => topkIdx }));
      api.registerCodec(name, ${CODEC});
      api.registerFamily(name, () => ({}));
      api.registerRoutingPolicy(name, () => ({}));
    };`;
    const { registry, plugins } = await load(text, { name: 'mine' });
    const { gates, planners, replicaChoices, codecs, families, routingPolicies } = registry;
    for (const brought of [gates, planners, replicaChoices, codecs, families, routingPolicies])
      expect([...brought.keys()]).to.deep.equal(['mine']);
    expect(gates.get('mine')!.plugin).to.match(/mine\.mjs$/);
    expect(Object.keys(plugins[0]!.code.files)).to.deep.equal(['mine.mjs']);
  });

  it('of one path are loaded once for each of their entries, each with its own options', () =>
    withPlugins(
      { 'mine.mjs': `export default (api, { p }) => api.registerPlanner('p' + p, () => []);` },
      async (path) => {
        const entries = [1, 2].map((p) => ({ path: path('mine.mjs'), options: { p } }));
        const { registry } = await loadPlugins(entries);
        expect([...registry.planners.keys()]).to.deep.equal(['p1', 'p2']);
      },
    ));

  it('are nothing global: a name is free again for whoever loads them next', async () => {
    const text = `export default (api) => api.registerGate('mine', ${GATE});`;
    await load(text);
    await load(text);
  });

  it('that can not be loaded are refused by their path, with what is wrong', async () => {
    expect(await refusal(`export default (api) => {\n  api.registerGate('a' {});\n};`)).to.match(
      /^INVALID_PLUGIN: plug-in \S+mine\.mjs: it can't be loaded: SyntaxError: .* at \/\S+mine\.mjs:2; mend it$/,
    );
    expect(await refusal(`throw new Error('no\\u001b[2J luck');`)).to.match(/Error: no\\u001b\[2J luck/);
    expect(await refusal(`import 'a-package-that-is-not-there'; export default () => {};`)).to.match(
      /a-package-that-is-not-there/,
    );
    expect(await refusal(`export const plugin = () => {};`)).to.match(/no default export \(it exports plugin\)/);
    expect(await refusal(`export default { registerGate: 1 };`)).to.match(/its default export is \{"registerGate":1\}/);
    const missing = await errorOf(PluginError, () => loadPlugins([{ path: '/nowhere/a.mjs', options: {} }]));
    expect(missing.message).to.match(/plug-in \/nowhere\/a\.mjs: its file can't be read \(ENOENT/);
    expect(missing).to.include({ code: 'INVALID_PLUGIN', plugin: '/nowhere/a.mjs' });
  });

  it('that throw or never end are refused', async () => {
    expect(await refusalOf(`throw new Error('no options');`)).to.match(/its function threw: no options/);
    expect(await refusalOf(`return Promise.reject(new Error('later'));`)).to.match(/its function threw: later/);
    const soon = { timeoutMs: 200 };
    expect(await refusal(`export default () => new Promise(() => {});`, soon)).to.match(
      /did not register what it brings within 200 ms/,
    );
    expect(await refusal(`await new Promise(() => {}); export default () => {};`, soon)).to.match(
      /did not load within 200 ms/,
    );
  });

  it('that register what can not be are refused, with the name', async () => {
    for (const [body, message] of [
      [`api.registerGate('model', ${GATE})`, /gate "model": is there without plug-ins/],
      [`api.registerPlanner('eplb', () => [])`, /planner "eplb": is there without plug-ins/],
      [`api.registerCodec('fp8', ${CODEC})`, /codec "fp8": is there without plug-ins/],
      [
        `api.registerGate('a', ${GATE}); api.registerGate('a', ${GATE})`,
        /gate "a": was registered by \S+mine\.mjs already/,
      ],
      [`api.registerGate('a b', ${GATE})`, /registers a gate under "a b"; give a name of letters/],
      [`api.registerGate(3, ${GATE})`, /registers a gate under 3/],
      [`api.registerGate('a', () => {})`, /gate "a": is a function; give an object with route/],
      [`api.registerGate('a', { dependsOn: 'x', route() {} })`, /gate "a": has dependsOn "x"; give 'token' or 'batch'/],
      [`api.registerGate('a', { numTopk: 3, route() {} })`, /gate "a": has numTopk 3/],
      [`api.registerCodec('a', { rowBytes() {}, encode() {} })`, /codec "a": has no function decode/],
      [`api.registerPlanner('a', [])`, /planner "a": is \[\]; give a function/],
      [`api.registerHook('a')`, /its function threw: api\.registerHook is not a function/],
    ] as const) {
      expect(await refusalOf(body), body).to.match(message);
    }
  });

  it('can not register once their function has ended', async () => {
    const registry = new PluginRegistry();
    let late: PluginApi | undefined;
    await registry.fill('mine.mjs', (api) => void (late = api), {});
    expect(() => late!.registerPlanner('late', () => [])).to.throw(
      PluginError,
      'planner "late": came after its function had ended',
    );
    expect(registry.planners.size).to.equal(0);
  });

  it('run no code where anybody refuses what it is', () =>
    withPlugins({ 'mine.mjs': `throw new Error('it ran');` }, async (path) => {
      const entries = [{ path: path('mine.mjs'), options: {} }];
      const refused = new Error('other code');
      const onCode = (): never => {
        throw refused;
      };
      expect(await errorOf(Error, () => loadPlugins(entries, { onCode }))).to.equal(refused);
    }));

  it('that were changed are loaded anew', () =>
    withPlugins({ 'a.mjs': '' }, async (path) => {
      const { writeFile } = await import('node:fs/promises');
      const names: string[] = [];
      for (const name of ['first', 'second']) {
        await writeFile(path('a.mjs'), `export default (api) => api.registerGate('${name}', ${GATE});`);
        const { registry } = await loadPlugins([{ path: path('a.mjs'), options: {} }]);
        names.push(...registry.gates.keys());
      }
      expect(names).to.deep.equal(['first', 'second']);
    }));

  it('in TypeScript are refused by a Node that runs none', async function () {
    const text = `export default (api: { registerPlanner(name: string, fill: () => []): void }) => api.registerPlanner('a', () => []);`;
    await withPlugins({ 'mine.ts': text }, async (path) => {
      const entries = [{ path: path('mine.ts'), options: {} }];
      if ((process.features as { typescript?: unknown }).typescript) {
        expect([...(await loadPlugins(entries)).registry.planners.keys()]).to.deep.equal(['a']);
        return;
      }
      const { message } = await errorOf(PluginError, () => loadPlugins(entries));
      expect(message).to.match(
        /mine\.ts: it is TypeScript, which this Node \(v[\d.]+\) doesn't run; compile it to \.mjs/,
      );
    });
  });
});
