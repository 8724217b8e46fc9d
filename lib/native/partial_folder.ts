/**
 * The folder that an installation works in, beside its place: NATIVE.partial-PID-START-HOST. It is also how installations see each other. Each makes its
 * own and only then looks for others, so that of two at once at most one goes on, and a file that locks, which its maker could leave behind, isn't needed.
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { NativeError } from './errors.js';

/** A process of a machine. A number is given again to later ones: when it began tells them apart. */
export interface Owner {
  readonly pid: number;
  /** In clock ticks since the machine's own start, as /proc/PID/stat says it. */
  readonly start: string;
  readonly host: string;
}

/** This process. */
export const thisOwner = async (): Promise<Owner> => ({
  pid: process.pid,
  start: (await startOf(process.pid)) ?? '0',
  host: hostname(),
});

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
  const here = await thisOwner();
  for (const name of await readdir(dirname(dir))) {
    const owner = ownerOf(name, basename(dir));
    const path = join(dirname(dir), name);
    if (owner === null || path === own) continue;
    if (owner.host !== here.host || (await startOf(owner.pid)) === owner.start)
      throw alreadyInstalling(dir, path, owner);
    await rm(path, { recursive: true, force: true });
  }
}

const MARK = '.partial-';

/** Where a process works that installs into `dir`. */
export const partialPath = (dir: string, { pid, start, host }: Owner): string => `${dir}${MARK}${pid}-${start}-${host}`;

function ownerOf(name: string, base: string): Owner | null {
  if (!name.startsWith(`${base}${MARK}`)) return null;
  const match = /^(\d+)-(\d+)-(.*)$/.exec(name.slice(base.length + MARK.length));
  return match === null ? null : { pid: Number(match[1]), start: match[2]!, host: match[3]! };
}

/** Field 22 of /proc/PID/stat, counted from the end of the program's name, which may hold spaces; null where no such process runs. */
async function startOf(pid: number): Promise<string | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
}

function alreadyInstalling(dir: string, path: string, { pid, host }: Owner): NativeError {
  const message = `process ${pid} on ${host} is installing into ${dir}; wait for it or end it`;
  const elsewhere = `, and if it no longer runs there, delete ${path}`;
  return new NativeError('ALREADY_INSTALLING', host === hostname() ? message : `${message}${elsewhere}`);
}
