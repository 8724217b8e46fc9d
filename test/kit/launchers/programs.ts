/** Programs of launchers that may be installed. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** What of these is missing, as one text to show; null: nothing. `packages`: what apt installs them by. */
export async function missingOf(programs: readonly string[], packages: string): Promise<string | null> {
  const found = await Promise.all(programs.map(isThere));
  const missing = programs.filter((_, i) => !found[i]);
  return missing.length === 0 ? null : `${missing.join(', ')} not installed: apt-get install ${packages}`;
}

/** Skips what `this` runs where something is missing, and says what. */
export async function needPrograms(mocha: Mocha.Context, programs: readonly string[], packages: string): Promise<void> {
  const missing = await missingOf(programs, packages);
  if (missing === null) return;
  mocha.test!.title += ` (${missing})`;
  mocha.skip();
}

async function isThere(program: string): Promise<boolean> {
  try {
    await promisify(execFile)('sh', ['-c', 'command -v "$0"', program]);
    return true;
  } catch {
    return false;
  }
}
