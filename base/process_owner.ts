/** Processes as names of files know them: what a process that is no more left behind is told from what a running one is at. */
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';

/** A process of a machine. A number is given again to later ones: when it began tells them apart. */
export interface Owner {
  readonly pid: number;
  /** In clock ticks since the machine's own start, as /proc/PID/stat says it; '0' where there is no /proc. */
  readonly start: string;
  readonly host: string;
}

/** This process. */
export const thisOwner = async (): Promise<Owner> => ({
  pid: process.pid,
  start: (await startOf(process.pid)) ?? UNKNOWN_START,
  host: hostname(),
});

const UNKNOWN_START = '0';

/** PID-START-HOST, for the name of a file. */
export const ownerText = ({ pid, start, host }: Owner): string => `${pid}-${start}-${host}`;

/** What {@link ownerText} wrote; null for other text. */
export function ownerOf(text: string): Owner | null {
  const match = /^(\d+)-(\d+)-(.*)$/.exec(text);
  return match === null ? null : { pid: Number(match[1]), start: match[2]!, host: match[3]! };
}

/** Whether the process runs; null of another machine's, which can't be known. */
export async function isRunning({ pid, start, host }: Owner): Promise<boolean | null> {
  if (host !== hostname()) return null;
  return start === UNKNOWN_START ? canBeSignalled(pid) : (await startOf(pid)) === start;
}

function canBeSignalled(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // somebody else's
  }
}

/**
 * Field 22 of /proc/PID/stat, counted from the end of the program's name, which may hold spaces; null where no such process runs, or only what is left of one
 * until its parent asks how it ended.
 */
async function startOf(pid: number): Promise<string | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const [state = '', ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ENDED.has(state) ? null : (fields[18] ?? null);
}

/** Zombie, dead. */
const ENDED: ReadonlySet<string> = new Set(['Z', 'X']);
