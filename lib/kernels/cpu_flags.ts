/** What the processor says that it can: where Linux tells. */
import { readFileSync } from 'node:fs';

/** The line of the first core, 'avx2' and others in alphabetical order; null where nothing tells it. */
export function cpuFlags(file = '/proc/cpuinfo'): readonly string[] | null {
  try {
    const flags = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync(file, 'utf8'));
    return flags === null ? null : flags[1]!.trim().split(/\s+/).toSorted();
  } catch {
    return null;
  }
}
