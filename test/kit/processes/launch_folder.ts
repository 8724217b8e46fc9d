/**
 * A folder that launch.sh takes for its own: the script itself, with the compiled code that these tests belong to, so that no test ever
 * builds or installs in the repository. Its build script does what the test says.
 */
import { chmod, copyFile, mkdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repoRoot } from '../paths.js';
import { BUILD_DIR } from './processes.js';

/** Sets the folder up, installed and built; returns the path of its launch.sh. */
export async function createLaunchFolder(dir: string): Promise<string> {
  const root = repoRoot();
  for (const name of ['launch.sh', 'package.json', 'package-lock.json', 'tsconfig.json']) {
    await copyFile(join(root, name), join(dir, name));
  }
  for (const name of ['base', 'comm', 'compute', 'experts', 'lib', 'bench', 'scripts', 'dist', 'node_modules']) {
    await mkdir(join(dir, name));
  }
  for (const name of ['base', 'comm', 'compute', 'experts', 'lib', 'bench'])
    await symlink(join(BUILD_DIR, name), join(dir, 'dist', name));
  await writeFile(join(dir, 'lib', 'a.ts'), '');
  await markInstalled(dir);
  await markBuilt(dir);
  return join(dir, 'launch.sh');
}

/** The file that an installation ends with is newer than everything it depends on. */
export const markInstalled = (dir: string): Promise<void> => touch(join(dir, 'node_modules', '.package-lock.json'), 60);
export async function markBuilt(dir: string): Promise<void> {
  for (const part of ['product', 'bench']) await touch(join(dir, 'dist', `.built.${part}`), 60);
}

/** What the folder has in place of the build script; the shell script gets the same arguments. */
export const buildWith = (dir: string, script: string): Promise<void> =>
  writeFile(
    join(dir, 'scripts', 'build.mjs'),
    `import { spawnSync } from 'node:child_process';
const args = ['-c', ${JSON.stringify(script)}, 'build', ...process.argv.slice(2)];
process.exit(spawnSync('bash', args, { stdio: 'inherit' }).status);
`,
  );

/** Writes an empty file whose time is some seconds from now. */
export async function touch(file: string, secondsFromNow: number): Promise<void> {
  await writeFile(file, '');
  const time = new Date(Date.now() + 1000 * secondsFromNow);
  await utimes(file, time, time);
}

/** A program that stands in for another when `dir` comes first in PATH. */
export async function writeProgram(dir: string, name: string, script: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  const file = join(dir, name);
  await writeFile(file, `#!/usr/bin/env bash\n${script}\n`);
  await chmod(file, 0o755);
}
