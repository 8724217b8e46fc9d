/** A Python of this machine, for tests of what Python programs make of the server. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** That named by EXPERTWIRE_TEST_PYTHON, or python3; null where it lacks one of these modules, or isn't there. */
export async function pythonWith(...modules: readonly string[]): Promise<string | null> {
  const python = process.env.EXPERTWIRE_TEST_PYTHON ?? 'python3';
  try {
    await promisify(execFile)(python, ['-c', `import ${modules.join(', ')}`]);
    return python;
  } catch {
    return null;
  }
}
