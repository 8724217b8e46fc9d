/** A program that stands in for ssh: it runs the command here, and is the only way to it, as a connection is. */
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const PROGRAM = `#!/usr/bin/env node
import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
const [, , ...args] = process.argv;
appendFileSync(import.meta.dirname + '/calls.log', JSON.stringify(args) + '\\n');
const [host, command] = args;
if (host === '-G') process.exit(1);
if (host === '127.0.0.9') {
  console.error('ssh: connect to host 127.0.0.9 port 22: No route to host');
  process.exit(255);
}
const { EXPERTWIRE_JOB_SECRET, ...env } = process.env; // a host has an environment of its own
const child = spawn('sh', ['-c', command], { cwd: '/', env, detached: true });
process.stdin.pipe(child.stdin).on('error', () => undefined);
child.stdout.pipe(process.stdout);
child.stderr.pipe(process.stderr);
child.on('close', (code) => process.exit(code ?? 255));
`;

/** Writes it into a folder; returns its path. Host 127.0.0.9 is one that it can't reach. */
export async function writePlayedSsh(dir: string): Promise<string> {
  const file = join(dir, 'ssh');
  await writeFile(file, PROGRAM);
  await chmod(file, 0o755);
  return file;
}

/** With which arguments it was called, each time. */
export const playedSshCalls = async (dir: string): Promise<string[][]> =>
  (await readFile(join(dir, 'calls.log'), 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as string[]);
