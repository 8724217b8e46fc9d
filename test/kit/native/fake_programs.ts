/** Programs that stand in for those of a machine: shell scripts in a folder that is the whole PATH. */
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Environment } from '../../../lib/native/program.js';

/** What the scripts themselves may call. */
const TOOLS = ['cat', 'cp', 'mkdir', 'sleep', 'touch', 'rm'];

/**
 * Writes scripts into a folder, which is made, and returns an environment whose PATH has nothing else.
 *
 * @param scripts program → the body of its shell script; null where the program of this machine is meant
 */
export async function fakePrograms(
  folder: string,
  scripts: Readonly<Record<string, string | null>>,
): Promise<Environment> {
  await mkdir(folder, { recursive: true });
  const wanted = { ...Object.fromEntries(TOOLS.map((tool) => [tool, null])), ...scripts };
  for (const [name, body] of Object.entries(wanted)) {
    const path = join(folder, name);
    if (body === null) {
      await symlink(`/usr/bin/${name}`, path);
      continue;
    }
    await writeFile(path, `#!/bin/sh\n${body}\n`);
    await chmod(path, 0o755);
  }
  return { PATH: folder };
}
