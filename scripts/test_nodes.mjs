/**
 * Runs what depends on V8 with several versions of Node: kernels, golden tokens and logits, the trial of the kernels, and jobs of real processes.
 *   node scripts/test_nodes.mjs              Node 20, 22, 24 and 26
 *   node scripts/test_nodes.mjs 20 26        these
 * Each is installed from npm into .nodes/, once; one that npm can't give is skipped, which the last lines tell, and where it gives none, the Node that runs this takes their place. dist/ must be built.
 * With every version: plain and fused; where V8 has 256-bit SIMD, once more with all kernels optimised at once and as wide as that.
 * Why: docs/decisions/kernels.md#a-trial-decides
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const VERSIONS = ['20', '22', '24', '26'];
/** From this one on there is 256-bit SIMD, on x64. */
const WIDE_SINCE = 24;
const WIDE = ['--experimental-wasm-revectorize', '--wasm-sync-tier-up', '--wasm-tiering-budget=1'];
const FUSED = ['--import', './dist/test/kit/kernels/fused_by_default.js'];

const KERNELS = ['dist/test/compute/wasm/**/*.test.js', 'dist/test/lib/model/goldens.test.js'];
const JOBS = ['dist/test/lib/kernels/*.test.js', 'dist/test/cluster/compute/kernels.test.js'];

process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..'));
const versions = process.argv.length > 2 ? process.argv.slice(2) : VERSIONS;
const unknown = versions.find((version) => !/^\d+(\.\d+){0,2}$/.test(version));
if (unknown !== undefined) fail(`'${unknown}' is no version of Node; give numbers such as ${VERSIONS.join(' ')}`);
if (!existsSync('dist/.built.test')) fail('nothing is built; run npm run build');

const skipped = [];
for (const version of versions) {
  const node = installed(version);
  if (node === null) skipped.push(version);
  else testWith(node, version);
}
if (skipped.length === versions.length) testWith(process.execPath, process.versions.node);
for (const version of skipped) process.stdout.write(`SKIPPED: Node ${version}, which npm could not install\n`);

function testWith(node, version) {
  run(node, version, 'plain', [], [...KERNELS, ...JOBS]);
  run(node, version, 'fused', FUSED, KERNELS);
  if (process.arch !== 'x64' || Number.parseInt(version, 10) < WIDE_SINCE) return;
  run(node, version, 'plain, 256 bits', WIDE, KERNELS);
  run(node, version, 'fused, 256 bits', [...WIDE, ...FUSED], KERNELS);
}

/** Path of a Node of this version, installed where it isn't yet; null: npm can't. */
function installed(version) {
  const dir = resolve('.nodes', version);
  const node = join(dir, 'node_modules', '.bin', 'node');
  if (existsSync(node)) return node;
  process.stdout.write(`installing Node ${version} into ${dir}\n`);
  const { status } = spawnSync('npm', ['install', '--silent', '--no-save', '--prefix', dir, `node@${version}`], {
    stdio: 'inherit',
    env: { ...process.env, npm_config_ignore_scripts: 'false' }, // its binary is put in place by a script
  });
  return status === 0 && existsSync(node) ? node : null;
}

function run(node, version, how, options, files) {
  process.stdout.write(`\nNode ${version}, ${how}\n`);
  const { status } = spawnSync(node, ['--no-warnings', ...options, 'node_modules/mocha/bin/mocha.js', ...files], {
    stdio: 'inherit',
  });
  if (status !== 0) fail(`Node ${version}, ${how}: tests failed`);
}

function fail(message) {
  process.stderr.write(`test_nodes: ${message}\n`);
  process.exit(1);
}
