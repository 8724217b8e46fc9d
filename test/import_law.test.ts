import { expect } from 'chai';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { repoRoot } from './kit/paths.js';

/** What each top folder may import of the others. `comm` and `compute` know nothing of each other. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  base: [],
  comm: ['base'],
  compute: ['base'],
  experts: ['base', 'comm', 'compute'],
  lib: ['base', 'comm', 'compute', 'experts'],
  bench: ['base', 'comm', 'compute', 'experts', 'lib'],
};

/** All folders with source files, from the ground up: a file imports from its own folder and from those before it. */
const FLOORS: Readonly<Record<string, string>> = {
  base: '.',
  comm: 'base codec mesh ws/door threads ws/links ws ws/io_thread all_to_all/exchange all_to_all/contract all_to_all/flat all_to_all/nodes all_to_all all_to_all/packed job kv .',
  compute:
    'base tfjs/library tfjs/ops tfjs/native tfjs/webgpu tfjs/backends tfjs tfjs/experts wasm/threads wasm/memory wasm/linear wasm/attention wasm/attention/mla wasm/experts wasm/router wasm/mixers wasm/head wasm',
  experts: 'placement placement/planners load routing tiers layer .',
  lib: 'hub/cache config weights tokenizer/jinja/values tokenizer/jinja/syntax tokenizer/jinja/functions tokenizer/jinja tokenizer/steps tokenizer/models tokenizer/pipeline tokenizer/formats tokenizer metrics pictures pictures/balance native hub model/spec model/stored model/weights model/decoder model/families/blocks model/families model/kernels model/tensors model rewrite rewrite/quantise cluster/base plugins kernels protocol rewrite/scaling rank/sampling rank/handover rank/store rank job job/start head/observing head/speeds head/scheduling/blocks head/kv head/scheduling head/scheduling/policies head/rebalancing head/elastic head/hooks head/handover head compare pictures/compare prune kv_pool batches cluster/bus cluster/bus/nats cluster/routing/policies cluster/routing/moving cluster/routing/pool cluster/routing server/base server/http server/batches server/cluster server/openai/requests server/journal server/openai server/telemetry server/tracing server/experts server/elastic server/live server cluster/router/upstream cluster/router/passage cluster/router cluster/live cluster/start kubernetes/manifests kubernetes/api experiment/base experiment/summary pictures/sweep experiment/measures experiment/file experiment/runs experiment/document experiment/report experiment/runners/kubernetes experiment/runners/slurm jobs/base experiment/runners/queue jobs/decisions jobs/local jobs/coordinator jobs/nats jobs/work jobs/file jobs/outputs jobs/worker page/state page/view commands/base commands/advice commands/help commands/engine commands/rewrite commands/generate commands/inspect commands/plan commands/rank commands/hosts commands/score commands/compare commands/serve commands/cluster commands/chat/answers commands/chat commands/kv commands/jobs commands/worker commands/completion commands/experiment commands/manifest commands .',
  bench:
    'help base links balance chaos/plan chaos/load chaos scale slow compute pull dispatch/base dispatch/parties dispatch/links dispatch/ranks dispatch eplb formats serve/load serve/client serve/datasets serve/figures serve engine resume cluster/router cluster kv/simulation kv peers/engines peers scenarios tokenizer runner jobs launch experiment/base experiment/serving experiment .',
};
const ORDER = Object.entries(FLOORS).flatMap(([top, floors]) => floors.split(' ').map((floor) => join(top, floor)));

/** Nobody finds anything in a folder of more. */
const MAX_FILES = 22;

const root = repoRoot();

const sourcesOf = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.tsx?$/.test(name))
    .map((name) => join(folder, name).split(sep).join('/'));

const files = Object.keys(MAY_IMPORT).flatMap(sourcesOf);
const textOf = (file: string): string => readFileSync(join(root, file), 'utf8');

/** The files that a text imports: static, dynamic and re-exported, of TypeScript or AssemblyScript, and what it starts as a thread. */
const importsOf = (file: string, text: string): string[] =>
  [...text.matchAll(/(?:(?:from|import)\s*\(?\s*|new Worker\(\s*new URL\()'(\.[^']+)'/g)].map((match) => {
    const path = relative(root, resolve(root, dirname(file), match[1]!));
    const module = path.split(sep).join('/').replace(/\.js$/, '');
    return existsSync(join(root, `${module}.tsx`)) ? `${module}.tsx` : `${module}.ts`;
  });

/** Type-only imports vanish at compile time. */
const runtimeText = (file: string): string => textOf(file).replace(/^(?:import|export) type [\s\S]*?;$/gm, '');

/** File → the files that it imports, for their types alone too. */
const imports = new Map(files.map((file) => [file, importsOf(file, textOf(file))]));

const topOf = (file: string): string => file.split('/')[0]!;

/** Each import that breaks a rule, as 'from → to'. */
const breaking = (isBroken: (file: string, target: string) => boolean): string[] =>
  [...imports].flatMap(([file, targets]) =>
    targets.filter((target) => isBroken(file, target)).map((target) => `${file} → ${target}`),
  );

describe('the import law', () => {
  it('every import is of a file that exists', () => {
    expect(breaking((_file, target) => !existsSync(join(root, target)))).to.deep.equal([]);
  });

  it('lib → experts → comm and compute → base, and nothing back', () => {
    const isBroken = (file: string, target: string): boolean =>
      topOf(target) !== topOf(file) && !MAY_IMPORT[topOf(file)]!.includes(topOf(target));
    expect(breaking(isBroken)).to.deep.equal([]);
  });

  it('every folder imports from those below it alone', () => {
    const folders = [...new Set(files.map((file) => dirname(file)))];
    expect([...ORDER].sort()).to.deep.equal(folders.sort());
    const floorOf = (file: string): number => ORDER.indexOf(dirname(file));
    expect(breaking((file, target) => floorOf(target) > floorOf(file))).to.deep.equal([]);
  });

  it('no folder holds more files than one finds one’s way in', () => {
    const full = ORDER.filter((folder) => files.filter((file) => dirname(file) === folder).length > MAX_FILES);
    expect(full).to.deep.equal([]);
  });

  it('no file imports itself in a circle', () => {
    const done = new Set<string>();
    const circles: string[] = [];
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' → '));
      if (done.has(file) || path.includes(file)) return;
      for (const target of imports.get(file) ?? []) visit(target, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
    expect(circles).to.deep.equal([]);
  });

  it('TensorFlow.js is imported in one folder alone', () => {
    const importers = files.filter((file) => /from '@tensorflow\/|load\('@tensorflow\//.test(textOf(file)));
    expect([...new Set(importers.map((file) => dirname(file)))]).to.deep.equal(['compute/tfjs/library']);
  });

  it('the head loads no TensorFlow.js', () => {
    const reached = new Set<string>(['lib/head/engine.ts']);
    for (const file of reached) for (const target of importsOf(file, runtimeText(file))) reached.add(target);
    expect(reached).to.include('lib/head/scheduling/scheduler.ts').and.not.include('compute/tfjs/library/tfjs.ts');
  });

  it('only lib/cli.ts reads the environment, ends the process or writes to the console', () => {
    const culprits = files.filter((file) => /process\.(env|exit\b|exitCode)|console\./.test(textOf(file)));
    expect(culprits).to.deep.equal(['lib/cli.ts']);
  });
});
