/** What a run ran with: the code, what runs it, and the machine. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { arch, availableParallelism, cpus, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { PACKAGE, VERSION } from '../../config/package_files.js';
import type { RunEnvironment } from '../base/run.js';

/** That of this process. Never rejects. */
export const thisEnvironment = async (): Promise<RunEnvironment> => ({
  commit: await commitOf(PACKAGE),
  versions: { expertwire: VERSION, node: process.versions.node, v8: process.versions.v8 },
  machine: {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memory_bytes: totalmem(),
    system: `${type()} ${release()} ${arch()}`,
  },
});

/** A checkout's own: an installed package lies in the repository of somebody else. */
async function commitOf(folder: string): Promise<string | null> {
  if (!existsSync(join(folder, '.git'))) return null;
  const describe = ['describe', '--always', '--abbrev=40', '--exclude=*', '--dirty'];
  const git = await promisify(execFile)('git', ['-C', folder, ...describe]).catch(() => null);
  return git?.stdout.trim() ?? null;
}
