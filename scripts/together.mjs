/**
 * Runs npm scripts side by side, each with those behind `+` after it, and shows what each said when it ended:
 *   node scripts/together.mjs lint:code lint:format+build
 * Ends with the first failure, and ends the others then.
 * Why: docs/decisions/build.md#checks-and-compilers-run-side-by-side
 */
import { Buffer } from 'node:buffer';
import { spawn } from 'node:child_process';
import process from 'node:process';

let hasFailed = false;
const running = new Set();
await Promise.all(process.argv.slice(2).map((chain) => runAll(chain.split('+'))));
process.exitCode = hasFailed ? 1 : 0;

async function runAll(names) {
  for (const name of names) if (!hasFailed) await run(name);
}

function run(name) {
  return new Promise((resolve) => {
    // A group of its own: npm's children end with it.
    const child = spawn('npm', ['run', name], { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const said = [];
    child.stdout.on('data', (text) => said.push(text));
    child.stderr.on('data', (text) => said.push(text));
    child.on('error', (error) => said.push(Buffer.from(`${error.message}\n`)));
    running.add(child);
    child.on('close', (code) => {
      running.delete(child);
      const isCulprit = code !== 0 && !hasFailed;
      if (code === 0 || isCulprit) process.stdout.write(Buffer.concat(said));
      if (isCulprit) endOthers();
      resolve();
    });
  });
}

function endOthers() {
  hasFailed = true;
  for (const child of running) process.kill(-child.pid, 'SIGTERM');
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    endOthers();
    process.exitCode = 1;
  });
}
