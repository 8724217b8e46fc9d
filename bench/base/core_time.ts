/** Processor time of processes: the kernel's own count, also of those of others. */
import { readFile } from 'node:fs/promises';

/** Linux tells programs of its clock in these ticks per second, whatever its own are. */
const TICKS_PER_S = 100;

/**
 * Milliseconds of all threads of these processes since they started, user and system; each process counts once. Null where this isn't told: no /proc, or a process that
 * is gone or runs elsewhere.
 */
export async function coreMs(pids: readonly number[]): Promise<number | null> {
  const times = await Promise.all([...new Set(pids)].map(coreMsOf));
  return times.reduce<number | null>((sum, ms) => (sum === null || ms === null ? null : sum + ms), 0);
}

/** Fields 14 and 15 of /proc/PID/stat, counted from the end of the program's name, which may hold spaces. */
async function coreMsOf(pid: number): Promise<number | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  if (stat === null) return null;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  return Number.isFinite(ticks) ? (1000 * ticks) / TICKS_PER_S : null;
}
