/** Where what is found out once is kept for the user. */
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** A folder of the user's cache, which is made if it isn't there; null where the user has no home, or it can't be made. `home`: default as the system says; null: none. */
export function userCache(name: string, home: string | null = homeFolder()): string | null {
  if (home === null || !existsSync(home)) return null; // none is made
  let folder = resolve(home);
  for (const part of ['.cache', 'expertwire', name]) {
    folder = join(folder, part);
    if (!isMade(folder)) return null;
  }
  return folder;
}

/** One at a time: in /proc, or where homes are mounted when they are asked for, Node tries for ever to make several. */
function isMade(folder: string): boolean {
  try {
    mkdirSync(folder);
    return true;
  } catch {
    return existsSync(folder);
  }
}

function homeFolder(): string | null {
  try {
    return homedir(); // throws where the system knows no user of this number
  } catch {
    return null;
  }
}
