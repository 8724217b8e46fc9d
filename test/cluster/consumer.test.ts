/** A project of somebody else, made from the packed tarball: it compiles in strict TypeScript, and every example and the README's snippets run in it. */
import { expect } from 'chai';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { PLUGIN_NAMES } from '../../lib/config/plugin_names.js';
import type { Plugin } from '../../lib/plugins/plugin.js';
import { MOVING } from '../kit/engine/moving.js';
import { repoRoot } from '../kit/paths.js';
import { compile, createConsumer, run } from '../kit/processes/consumer_project.js';
import { Processes, type Ended } from '../kit/processes/processes.js';

/** Where a plug-in's name goes, by the function that registers it. */
const KEYS = {
  registerFamily: null, // config.json names it
  registerGate: ['experts.gate'],
  registerPlanner: ['load_balance.planner'],
  registerReplicaChoice: ['experts.replica_choice'],
  registerTierPolicy: ['experts.tier_policy'],
  registerCodec: ['comm.wire.dispatch', 'comm.wire.combine'],
  registerRoutingPolicy: ['router.policy', 'router.decode_policy'],
} as const;

/** What a plug-in brings, as [function, name]. */
async function broughtBy(file: string): Promise<readonly (readonly [keyof typeof KEYS, string])[]> {
  const { default: register } = (await import(pathToFileURL(file).href)) as { readonly default: Plugin };
  const brought: [keyof typeof KEYS, string][] = [];
  const note = (kind: keyof typeof KEYS) => (name: string) => void brought.push([kind, name]);
  const api = Object.fromEntries((Object.keys(KEYS) as (keyof typeof KEYS)[]).map((kind) => [kind, note(kind)]));
  await register(api as unknown as Parameters<Plugin>[0], {});
  return brought;
}

const examples = join(repoRoot(), 'examples');
const plugins = (await readdir(join(examples, 'plugins'))).filter((name) => name.endsWith('.mjs'));
const programs = (await readdir(examples)).filter((name) => name.endsWith('.ts'));

/** Every entry of the package. */
const ENTRIES = ['expertwire', 'expertwire/comm', 'expertwire/experts']
  .map((name, i) => `export * as entry${i} from '${name}';`)
  .join('\n');

/** What the programs that run to an end print, line by line. */
const PRINTED: Readonly<Record<string, readonly string[]>> = {
  all_to_all: ['largest error: 0e\\+0', 'dispatch, rows .*: 3 3 2 \\| 3 4 3 \\| 2 3 3', 'combine, rows .*'],
  planner: [
    'linear, 64 slots: balancedness 0.424, .*',
    'linear, 80 slots: balancedness 0.424, 0.0 experts moved per plan',
    'eplb, 64 slots: balancedness 0.528, .*',
    'eplb, 80 slots: balancedness 0.981, .*',
    'eplb_stable, 64 slots: balancedness 0.527, .*',
    'eplb_stable, 80 slots: balancedness 0.996, .*',
  ],
  score: [1, 2, 4].map((numTopk) => `top-${numTopk}: perplexity \\d+\\.\\d+, least expected: "[^"]+"`),
  hidden_states: [
    'next: ","',
    'layer 0: \\|x\\| \\d+.\\d, dense',
    ...[1, 2, 3].map((layer) => `layer ${layer}: \\|x\\| \\d+.\\d, best expert \\d+ % of the weight`),
  ],
};

/** The README's snippets, in order. */
const snippets = [...(await readFile(join(repoRoot(), 'README.md'), 'utf8')).matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(
  (match) => match[1]!,
);

describe('a project made from the packed tarball', function () {
  this.timeout(240_000);
  const processes = new Processes();
  let dir: string;

  const expertwire = (...args: readonly string[]): Promise<Ended> =>
    processes.start(process.execPath, [join(dir, 'node_modules/expertwire/dist/lib/cli.js'), ...args]).ended;
  const program = (name: string, ...args: readonly string[]): ReturnType<Processes['start']> =>
    processes.start(process.execPath, [join(dir, 'out', name), ...args]);

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'expertwire-consumer-'));
    await createConsumer(dir, ['openai']);
    for (const name of programs) await cp(join(examples, name), join(dir, name));
    for (const [i, snippet] of snippets.entries()) await writeFile(join(dir, `snippet${i}.ts`), snippet);
    await writeFile(join(dir, 'entries.ts'), ENTRIES);
  });

  after(async () => {
    processes.expectNone();
    await rm(dir, { recursive: true, force: true });
  });

  it('compiles its own plug-ins and programs in strict TypeScript, every declaration of ours checked', () =>
    compile(dir));

  it('has the README’s library snippets, which need nothing else and print what their comments promise', async () => {
    expect(snippets).to.have.length(3);
    const promises: number[] = [];
    for (const [i, snippet] of snippets.entries()) {
      for (const [, from] of snippet.matchAll(/ from '(.*)'/g)) expect(from).to.match(/^(expertwire|node:)/);
      const { stdout, stderr } = await run(process.execPath, [`out/snippet${i}.js`], { cwd: dir });
      expect(stderr).to.equal('');
      const promised = [...snippet.matchAll(/\/\/ prints: (.*)$/gm)].map((match) => match[1]!);
      for (const text of promised) expect(stdout).to.contain(text);
      promises.push(promised.length);
    }
    expect(promises).to.deep.equal([1, 1, 0]);
  });

  it('serves, and asks with a client', async () => {
    const served = program('serve.js', '0');
    try {
      await served.prints(/^serving at \S+\n/m);
      const url = `${/^serving at (\S+)$/m.exec(served.stdout)![1]!}/v1`;
      const asked = await program('client.js', url).ended;
      expect(asked.stderr).to.equal('');
      expect(asked.stdout).to.match(/^model: moe-7m\n[\s\S]*\ntext: /);
    } finally {
      served.signal('SIGTERM');
      expect((await served.ended).code).to.equal(0);
    }
  });

  it('compares its own gate with the model’s, looking inside', async () => {
    const { stdout, stderr, code } = await program('experiment.js').ended;
    expect(stderr).to.equal('');
    expect(code).to.equal(0);
    const layer = 'layer \\d: (\\d\\.\\d\\d) experts per token';
    const found = new RegExp(
      `^model: "[^\\n]+"\\n(?:  ${layer}\\n){3}threshold: "[^\\n]+"\\n(?:  ${layer}\\n){3}$`,
    ).exec(stdout);
    expect(found, stdout).to.not.equal(null);
    expect(Number(found![1])).to.equal(4);
    expect(Number(found![2])).to.be.below(4);
  });

  for (const [name, lines] of Object.entries(PRINTED)) {
    it(`runs examples/${name}.ts`, async () => {
      const { stdout, stderr, code } = await program(`${name}.js`).ended;
      expect(stderr).to.equal('');
      expect(code).to.equal(0);
      expect(stdout).to.match(new RegExp(`^${lines.join('\\n')}\\n$`));
    });
  }

  it('has a plug-in of each kind among the examples', async () => {
    const brought = await Promise.all(plugins.map((name) => broughtBy(join(examples, 'plugins', name))));
    expect(new Set(brought.flat().map(([kind]) => kind))).to.deep.equal(new Set(Object.keys(KEYS)));
    const keys = Object.values(KEYS).flatMap((each) => each ?? []);
    expect(keys).to.have.members(Object.keys(PLUGIN_NAMES));
  });

  for (const name of plugins) {
    it(`runs examples/plugins/${name} on two ranks`, async () => {
      const file = join(dir, 'node_modules/expertwire/examples/plugins', name);
      const [[kind, brought]] = (await broughtBy(file)) as [[keyof typeof KEYS, string]];
      const keys = KEYS[kind];
      const model = keys === null ? await modelOf(brought) : join(dir, 'node_modules/expertwire/models/moe-7m');
      const sets = (keys ?? []).flatMap((key) => ['--set', `${key}=${brought}`]);
      const other = kind === 'registerPlanner' ? BALANCE : kind === 'registerTierPolicy' ? TIERS : [];
      const run = ['generate', '--model', model, '--ranks', '2', '--num-redundant-experts', '4', ...sets, ...other];
      const text = ['--prompt', 'Call me Ishmael.', '--max-new-tokens', '24', '--json'];
      const { stdout, stderr, code } = await expertwire(...run, '--set', `plugins=[${file}]`, ...text);
      expect(stderr, stdout).to.equal('');
      expect(code).to.equal(0);
      expect(stdout).to.match(/"text":"[^"]/);
    });
  }

  /** So that something is planned within a short text. */
  const BALANCE = MOVING.flatMap((setting) => ['--set', setting]);

  /** So that not all experts fit. */
  const TIERS = ['--set', 'experts.max_resident_bytes=1MiB'];

  /** A random model of a family that a plug-in brings. */
  async function modelOf(modelType: string): Promise<string> {
    const model = join(dir, 'own');
    const shape = ['--family', 'qwen3_moe', '--layers', '2', '--hidden', '64', '--experts', '8', '--vocab', '512'];
    expect((await expertwire('make-checkpoint', model, ...shape)).code).to.equal(0);
    const file = join(model, 'config.json');
    const config = JSON.parse(await readFile(file, 'utf8')) as Readonly<Record<string, unknown>>;
    await writeFile(file, JSON.stringify({ ...config, model_type: modelType }));
    return model;
  }
});
