/** Joins what a command, a rank and their threads run, with the libraries, into dist/lib/bundle/. Why: docs/decisions/build.md#commands-run-from-a-bundle */
import { build } from 'esbuild';
import { existsSync, readFileSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { NOTICES, noticesOf } from './notices.mjs';
import { PAGE_FILES } from './page_bundle.mjs';

/** Where the bundle is; nothing else is there. */
export const BUNDLE = join('dist', 'lib', 'bundle');

/** What processes and threads begin with. Each is joined by itself: what two of them share would be many small files to load. */
const ENTRIES = [
  'lib/commands/parser',
  'lib/rank/spawned_rank',
  'lib/rank/rank_thread',
  'lib/tokenizer/tokenizer_worker',
  'lib/weights/tensor_hash_worker',
  'lib/head/rebalancing/planner_worker',
  'comm/ws/io_thread/io_thread_worker',
  'compute/wasm/threads/crew_worker',
].map((module) => resolve('dist', `${module}.js`));

/** What only servers, pictures and pulling need, some of it with files of its own, and native parts, which may be missing. */
const OUTSIDE = [
  '@huggingface/hub',
  'fastify',
  '@fastify/swagger',
  '@fastify/multipart',
  'pino',
  'prom-client',
  '@opentelemetry/*',
  'vega',
  'vega-lite',
  '@resvg/resvg-wasm',
  '@nats-io/*',
];
const OPTIONAL = ['msgpackr-extract', 'bufferutil', 'utf-8-validate'];

/** Libraries that are no ES modules load each other with a function that ES modules lack. */
const REQUIRE =
  "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);";

/** Where something changed since the last time. */
export async function bundleProgram() {
  if (!isStale()) return;
  const beganMs = Date.now();
  rmSync(BUNDLE, { recursive: true, force: true });
  const results = await Promise.all(ENTRIES.map(bundle));
  writeFileSync(join(BUNDLE, NOTICES), noticesOf(results.map(({ metafile }) => metafile)));
  for (const name of readdirSync(BUNDLE)) utimesSync(join(BUNDLE, name), beganMs / 1000, beganMs / 1000); // what is changed meanwhile is newer
}

/** A file for what is loaded at once, and one for each part that is loaded later. */
const bundle = (entry) =>
  build({
    entryPoints: [entry],
    outdir: BUNDLE,
    entryNames: '[name]',
    chunkNames: '[hash]',
    bundle: true,
    splitting: true,
    keepNames: true, // an error is known by the name of its class
    platform: 'node',
    format: 'esm',
    target: 'es2023',
    charset: 'utf8',
    external: [...OUTSIDE, ...OPTIONAL],
    banner: { js: REQUIRE },
    plugins: [{ name: 'own files', setup: keepFiles }],
    metafile: true,
    logLevel: 'warning',
  });

/** A module finds files beside it, as before; threads that it starts run from the bundle. */
function keepFiles({ onLoad }) {
  const dist = resolve('dist');
  onLoad({ filter: /\.js$/ }, ({ path }) => {
    if (!path.startsWith(dist)) return undefined;
    const worker = /new URL\('(\.\/\w+\.js)', import\.meta\.url\)/g;
    const isEntry = (name) => ENTRIES.includes(resolve(dirname(path), name));
    const own = `new URL('${relative(resolve(BUNDLE), path)}', import.meta.url).href`;
    const contents = readFileSync(path, 'utf8')
      .replace(worker, (all, name) => (isEntry(name) ? all.replace('import.meta.url', 'here()') : all))
      .replaceAll('import.meta.url', own)
      .replaceAll(/\bhere\(\)/g, 'import.meta.url');
    return { contents };
  });
}

function isStale() {
  const outputs = existsSync(BUNDLE) ? readdirSync(BUNDLE).map((name) => join(BUNDLE, name)) : [];
  if (outputs.length === 0) return true;
  const builtMs = Math.min(...outputs.map((file) => statSync(file).mtimeMs));
  const inputs = ['base', 'comm', 'compute', 'experts', 'lib'].flatMap((folder) =>
    readdirSync(join('dist', folder), { recursive: true }).map((name) => join('dist', folder, name)),
  );
  const isOutput = (file) => file.startsWith(BUNDLE) || PAGE_FILES.includes(file);
  const own = inputs.filter((file) => file.endsWith('.js') && !isOutput(file));
  // package.json has the versions of the libraries.
  return [...own, 'scripts/program_bundle.mjs', 'scripts/notices.mjs', 'package.json'].some(
    (file) => statSync(file).mtimeMs >= builtMs,
  );
}
