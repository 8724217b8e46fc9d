/**
 * The folder that an installation works in, beside its place: NATIVE.partial-PID-START-HOST. It is also how installations see each other. Each makes its
 * own and only then looks for others, so that of two at once at most one goes on, and a file that locks, which its maker could leave behind, isn't needed.
 */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { isRunning, ownerOf, ownerText, thisOwner, type Owner } from '../../base/process_owner.js';
import { NativeError } from './errors.js';

/**
 * Makes this installation's folder and returns its path; folders of processes that are no more are removed.
 *
 * @throws NativeError ALREADY_INSTALLING when another process is at it
 */
export async function makePartialFolder(dir: string): Promise<string> {
  const own = partialPath(dir, await thisOwner());
  await mkdir(dirname(dir), { recursive: true });
  await mkdir(own);
  try {
    await removeLeftovers(dir, own);
    return own;
  } catch (error) {
    await rm(own, { recursive: true, force: true });
    throw error;
  }
}

/**
 * Removes what installations that are no more left behind.
 *
 * @param own a folder that is passed over
 * @throws NativeError ALREADY_INSTALLING when another process is at it
 */
export async function removeLeftovers(dir: string, own?: string): Promise<void> {
  const mark = `${basename(dir)}${MARK}`;
  for (const name of await readdir(dirname(dir))) {
    const owner = name.startsWith(mark) ? ownerOf(name.slice(mark.length)) : null;
    const path = join(dirname(dir), name);
    if (owner === null || path === own) continue;
    if ((await isRunning(owner)) !== false) throw alreadyInstalling(dir, path, owner);
    await rm(path, { recursive: true, force: true });
  }
}

const MARK = '.partial-';

/** Where a process works that installs into `dir`. */
export const partialPath = (dir: string, owner: Owner): string => `${dir}${MARK}${ownerText(owner)}`;

function alreadyInstalling(dir: string, path: string, { pid, host }: Owner): NativeError {
  const message = `process ${pid} on ${host} is installing into ${dir}; wait for it or end it`;
  const elsewhere = `, and if it no longer runs there, delete ${path}`;
  return new NativeError('ALREADY_INSTALLING', host === hostname() ? message : `${message}${elsewhere}`);
}
