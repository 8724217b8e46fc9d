/**
 * Compiles what changed since the last build into dist/:
 *   node scripts/build.mjs product   base, comm, compute, experts and lib, which is what runs
 *   node scripts/build.mjs bench     and the benchmarks
 *   node scripts/build.mjs           and the tests: everything
 * dist/.built.PART has the time at which the last good build of a part began.
 * Why: docs/decisions/build.md#three-typescript-projects
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { ascArguments, MODULES } from './wasm_modules.mjs';

/** TypeScript projects, each on top of the ones before it. */
const PARTS = ['product', 'bench', 'test'];
/** Browser code, which a bundler joins: its project only checks types. */
const PAGE = 'lib/page/view';
const OUTPUT = /\.(js|d\.ts|js\.map)$/;
/** The AssemblyScript compiler says that its optimiser's last pass made nothing smaller, as a last pass does. */
const CONVERGED = /^Last converge was suboptimal\.\n/gm;

process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..'));
const part = process.argv[2] ?? 'test';
const startMs = Date.now();
if (!PARTS.includes(part)) fail(`there is no part '${part}': ${PARTS.join(', ')}`);
if (!existsSync('node_modules/typescript')) fail('no compiler is installed; run npm ci, without --omit=dev');
// They load the bundler.
const { bundlePage, PAGE_FILES } = await import('./page_bundle.mjs');
const { bundleProgram, BUNDLE } = await import('./program_bundle.mjs');

const parts = PARTS.slice(0, PARTS.indexOf(part) + 1);
removeOrphans('dist');
// Beside the other compilers, which use one core.
const modules = parts.flatMap((each) => MODULES[each]).filter(isStale);
const compiling = modules.map(compile);
run('typescript/bin/tsc', '--build', ...(part === 'product' ? ['.'] : [part]), PAGE);
bundlePage(startMs);
await bundleProgram();
await Promise.all(compiling);
for (const each of parts) {
  writeFileSync(`dist/.built.${each}`, '');
  utimesSync(`dist/.built.${each}`, startMs / 1000, startMs / 1000);
}

/** Removes what was compiled from sources that are no longer there: a test among them would run for ever. */
function removeOrphans(folder) {
  if (!existsSync(folder) || folder === BUNDLE) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    const source = path.replace(/^dist./, '').replace(OUTPUT, '.ts');
    if (entry.isDirectory()) removeOrphans(path);
    else if (OUTPUT.test(path) && !existsSync(source) && !PAGE_FILES.includes(path)) rmSync(path);
  }
}

function isStale(module) {
  const output = `dist/${module}.wasm`;
  if (!existsSync(output)) return true;
  const builtMs = statSync(output).mtimeMs;
  const names = readdirSync(dirname(module), { recursive: true }).filter((name) => name.endsWith('.as.ts'));
  // package.json has the compiler's version.
  const sources = [...names.map((name) => join(dirname(module), name)), 'scripts/wasm_modules.mjs', 'package.json'];
  return sources.some((source) => statSync(source).mtimeMs >= builtMs);
}

/** One module, to what is its output only when it is whole. */
async function compile(module) {
  const output = `dist/${module}.wasm`;
  const unfinished = `dist/${module}.new.wasm`;
  mkdirSync(dirname(output), { recursive: true });
  const args = ['node_modules/assemblyscript/bin/asc.js', ...ascArguments(module, unfinished)];
  const child = spawn(process.execPath, args, { stdio: ['inherit', 'inherit', 'pipe'] });
  process.on('exit', () => {
    child.kill();
    rmSync(unfinished, { force: true });
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (said += text));
  const [status] = await once(child, 'close');
  process.stderr.write(said.replace(CONVERGED, ''));
  if (status !== 0) process.exit(status ?? 1);
  utimesSync(unfinished, startMs / 1000, startMs / 1000); // what is changed while it compiles is newer
  renameSync(unfinished, output);
}

function run(program, ...args) {
  const stdio = ['inherit', 'inherit', 'pipe'];
  const { status, stderr } = spawnSync(process.execPath, [join('node_modules', program), ...args], { stdio });
  process.stderr.write(stderr.toString().replace(CONVERGED, ''));
  if (status !== 0) process.exit(status ?? 1);
}

function fail(message) {
  process.stderr.write(`build: ${message}\n`);
  process.exit(1);
}
