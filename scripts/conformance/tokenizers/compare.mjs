/**
 * What libraries for tokenizers make of the golden texts, after a build and beside Hugging Face's Rust library, whose outputs the golden files hold:
 *
 *     node scripts/conformance/tokenizers/compare.mjs expertwire @huggingface/tokenizers@0.2.0 tokenizers@0.23.2
 *
 * Each is installed into a folder for temporary files. Told per kind: texts with other ids, and texts that their ids decode to otherwise. Then: how many of 2000
 * files with one thing wrong end the process, and MB/s of encoded text (this repository's documents), the median of 5.
 */
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const NUM_SPOILED = 2000;
const run = promisify(execFile);
const candidate = join(import.meta.dirname, 'candidate.mjs');

async function installed(library, folder) {
  if (library === 'expertwire') return 'expertwire';
  await writeFile(join(folder, 'package.json'), '{ "private": true }');
  await run('npm', ['install', '--no-audit', '--no-fund', library], { cwd: folder });
  return library.replace(/(.)@[^@]*$/, '$1');
}

/** One line of JSON per answer; how the process ended. */
function answers(args, folder) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [candidate, ...args], { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] });
    let text = '';
    child.stdout.on('data', (data) => (text += data));
    child.on('exit', (code, signal) => {
      const lines = text.split('\n').filter((line) => line !== '');
      resolve({ lines: lines.map((line) => JSON.parse(line)), isEnded: code !== 0 || signal !== null });
    });
  });
}

async function numEnded(name, folder) {
  let ended = 0;
  for (let from = 0; from < NUM_SPOILED;) {
    const { lines, isEnded } = await answers([name, 'spoiled', String(from), String(NUM_SPOILED)], folder);
    if (!isEnded) break;
    ended++;
    from = lines.at(-1) + 1;
  }
  return ended;
}

for (const library of process.argv.slice(2)) {
  const folder = await mkdtemp(join(tmpdir(), 'tokenizers-'));
  try {
    const name = await installed(library, folder);
    const { lines: kinds } = await answers([name, 'kinds'], folder);
    const { lines: speeds } = await answers([name, 'speed'], folder);
    console.log(`${library}\n  kind: other ids, other texts, of 200`);
    for (const { kind, ids, texts, error } of kinds) {
      if (error !== undefined) console.log(`  ${kind}: isn't loaded (${error})`);
      else if (ids + texts > 0) console.log(`  ${kind}: ${ids}, ${texts}`);
    }
    console.log(
      `  kinds without a difference: ${kinds.filter(({ ids, texts }) => ids + texts === 0).length} of ${kinds.length}`,
    );
    console.log(`  MB/s: ${speeds.map(({ kind, speed }) => `${kind} ${speed.toFixed(2)}`).join(', ')}`);
    console.log(`  of ${NUM_SPOILED} files with one thing wrong end the process: ${await numEnded(name, folder)}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
