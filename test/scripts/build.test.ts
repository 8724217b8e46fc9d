/** scripts/build.mjs on a small project of the same folders. */
import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { repoRoot } from '../kit/paths.js';
import { withTempFolder } from '../kit/temp_folder.js';

interface Ended {
  readonly code: number;
  readonly output: string;
}

const build = (dir: string, ...args: string[]): Promise<Ended> =>
  new Promise((resolve) => {
    execFile(process.execPath, [join(dir, 'scripts', 'build.mjs'), ...args], (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }),
    );
  });

/** What the project has of this repository. */
const OWN_FILES = [
  ...['build', 'wasm_modules', 'page_bundle', 'program_bundle', 'notices'].map((name) => `scripts/${name}.mjs`),
  ...['tsconfig.json', 'bench/tsconfig.json', 'test/tsconfig.json', 'lib/page/view/tsconfig.json'],
  'examples/tsconfig.json',
];

/** What processes and threads begin with, beside the command line. */
const ENTRIES = [
  ...['comm/ws/io_thread/io_thread_worker', 'compute/wasm/threads/crew_worker', 'lib/head/rebalancing/planner_worker'],
  ...['lib/rank/rank_thread', 'lib/rank/spawned_rank', 'lib/tokenizer/tokenizer_worker'],
  'lib/weights/tensor_hash_worker',
];
const bundleOf = (entry: string): string => `lib/bundle/${basename(entry)}.js`;
const BUNDLES = ['lib/commands/parser', ...ENTRIES].map(bundleOf).sort();

const FILES: Readonly<Record<string, string>> = {
  'package.json': '{ "type": "module" }',
  'base/ids.ts': 'export const size = 2;',
  'comm/codec/codec.as.ts': 'export function twice(x: i32): i32 { return 2 * x; }',
  'experts/gate.ts': "import { size } from '../base/ids.js'; export const half = size / 2;",
  'compute/wasm/kernels.as.ts':
    "import { three } from './linear/three.as'; export function six(): i32 { return 2 * three(); }",
  'compute/wasm/linear/three.as.ts': 'export function three(): i32 { return 3; }',
  ...Object.fromEntries(ENTRIES.map((entry) => [`${entry}.ts`, 'export const isWorker = true;'])),
  'lib/commands/parser.ts':
    "import colors from 'picocolors'; import { half } from '../../experts/gate.js'; export const told = colors.red(`${half}`);",
  'lib/model/random_fill.as.ts': 'export function one(): i32 { return 1; }',
  'lib/index.ts': "export { half } from '../experts/gate.js';",
  'lib/page/state/title.ts': "export const title = 'live';",
  'lib/page/view/page.tsx': "import { title } from '../state/title.js'; document.title = title;",
  'lib/page/view/page.css': 'p { color: red; }',
  'lib/page/view/index.html': '<p>',
  'lib/cluster/live/messages.ts': 'export type Instances = number;',
  'lib/server/live/messages.ts': 'export type Seconds = number;',
  'examples/serve.ts': "import { half } from '../lib/index.js'; export const served = half;",
  'bench/index.ts': "import { half } from '../lib/index.js'; export const halves = [half];",
  'bench/compute/stream.as.ts': 'export function one(): i32 { return 1; }',
  'test/a.test.ts':
    "import { halves } from '../bench/index.js'; import { half } from '../lib/index.js'; halves.push(half);",
};

async function withProject(work: (dir: string) => Promise<void>): Promise<void> {
  await withTempFolder(async (dir) => {
    const texts = new Map(Object.entries(FILES));
    for (const name of OWN_FILES) texts.set(name, await readFile(join(repoRoot(), name), 'utf8'));
    for (const [name, text] of texts) {
      await mkdir(dirname(join(dir, name)), { recursive: true });
      await writeFile(join(dir, name), text);
      await utimes(join(dir, name), 1e9, 1e9);
    }
    await symlink(join(repoRoot(), 'node_modules'), join(dir, 'node_modules'));
    await work(dir);
  });
}

/** Outputs that programs load, and when each was written. */
async function outputsOf(dir: string): Promise<ReadonlyMap<string, number>> {
  const names = await readdir(join(dir, 'dist'), { recursive: true });
  const outputs = names.filter((name) => /\.(js|wasm)$/.test(name)).sort();
  return new Map(
    await Promise.all(outputs.map(async (name) => [name, (await stat(join(dir, 'dist', name))).mtimeMs] as const)),
  );
}

/** Which outputs a build after a change wrote. */
async function writtenAfter(dir: string, change: () => Promise<void>): Promise<readonly string[]> {
  // What was built so far is old, yet newer than its sources: a file system may count time in seconds.
  for (const name of (await outputsOf(dir)).keys()) {
    const time = BUNDLES.includes(name) ? 1e9 + 2 : 1e9 + 1; // bundles are made of other outputs
    await utimes(join(dir, 'dist', name), time, time);
  }
  const before = await outputsOf(dir);
  await change();
  const { code, output } = await build(dir);
  expect(code, output).to.equal(0);
  return [...(await outputsOf(dir))].filter(([name, time]) => before.get(name) !== time).map(([name]) => name);
}

describe('the build', function () {
  this.timeout(60_000);

  it('of the product compiles neither benchmarks nor tests, whatever is wrong with them, and writes licences', () =>
    withProject(async (dir) => {
      for (const name of ['bench/index.ts', 'test/a.test.ts'])
        await writeFile(join(dir, name), 'const x: number = "";');
      expect(await build(dir, 'product')).to.deep.equal({ code: 0, output: '' });
      const product = [
        'base/ids.js',
        'comm/codec/codec.wasm',
        'compute/wasm/kernels.wasm',
        'compute/wasm/kernels_fma.wasm',
        'experts/gate.js',
        'lib/index.js',
        'lib/model/random_fill.wasm',
        'lib/page/page.js',
        'lib/page/state/title.js',
        'lib/cluster/live/messages.js',
        'lib/server/live/messages.js',
        ...[...ENTRIES, 'lib/commands/parser'].map((entry) => `${entry}.js`),
        ...BUNDLES,
      ].sort();
      expect([...(await outputsOf(dir)).keys()]).to.deep.equal(product);
      expect(await readdir(join(dir, 'dist')))
        .to.include('.built.product')
        .and.not.include('.built.bench');
      // Beside a bundle are the licences of the libraries in it.
      const notices = (folder: string): Promise<string> =>
        readFile(join(dir, 'dist/lib', folder, 'THIRD_PARTY_NOTICES.txt'), 'utf8');
      const licence = await readFile(join(repoRoot(), 'node_modules/picocolors/LICENSE'), 'utf8');
      expect(await notices('bundle'))
        .to.match(/^picocolors \d/m)
        .and.contain(licence.trim());
      expect(await notices('page')).to.not.contain('picocolors');
      const { code, output } = await build(dir);
      expect(code).to.not.equal(0);
      expect(output).to.contain('bench/index.ts').and.contain("Type 'string' is not assignable to type 'number'");
    }));

  it('after a change writes what the change is about, and removes what has no source any more', () =>
    withProject(async (dir) => {
      expect(await build(dir)).to.deep.equal({ code: 0, output: '' });
      const all = [...(await outputsOf(dir)).keys()];
      expect(all).to.have.length(31);
      const change = (name: string, text: string) => () => writeFile(join(dir, name), text);
      expect(await writtenAfter(dir, () => rm(join(dir, 'test/a.test.ts')))).to.deep.equal([]);
      // The page may have it, and goes on being older than it, since this test makes what was built so far old.
      const page = 'lib/page/page.js';
      const larger = change('base/ids.ts', 'export const size = 4;');
      expect(await writtenAfter(dir, larger)).to.deep.equal(['base/ids.js', ...BUNDLES, page]);
      expect(await readFile(join(dir, 'dist/base/ids.js'), 'utf8')).to.contain('size = 4');
      const kernels = ['compute/wasm/kernels.wasm', 'compute/wasm/kernels_fma.wasm'];
      const other = change('compute/wasm/linear/three.as.ts', 'export function three(): i32 { return 33; }');
      expect(await writtenAfter(dir, other)).to.deep.equal([...kernels, page]);
      const left = [...(await outputsOf(dir)).keys()];
      expect(left).to.deep.equal(all.filter((name) => name !== 'test/a.test.js'));
    }));

  it('that cannot be done says why', () =>
    withProject(async (dir) => {
      expect(await build(dir, 'tests')).to.deep.equal({
        code: 1,
        output: "build: there is no part 'tests': product, bench, test\n",
      });
      await rm(join(dir, 'node_modules'));
      expect(await build(dir)).to.deep.equal({
        code: 1,
        output: 'build: no compiler is installed; run npm ci, without --omit=dev\n',
      });
    }));
});
