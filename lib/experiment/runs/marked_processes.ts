/**
 * Processes that are known by a variable that all have from the first of them: also those that left its group. Where there is no /proc none are found.
 * Why: docs/decisions/experiments.md#a-run-is-a-process-with-two-files
 */
import { readdir, readFile } from 'node:fs/promises';

/** Of a run and of all that it starts. */
export const RUN_VARIABLE = 'EXPERTWIRE_RUN';

/** Their numbers; none of what has ended. */
export async function markedProcesses(mark: string): Promise<readonly number[]> {
  const names = await readdir('/proc').catch(() => []);
  const pids = names.filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(pids.map(async (pid) => ((await isMarked(pid, mark)) ? [pid] : [])));
  return found.flat();
}

/** Somebody else's process can't be looked at, and isn't ours. */
async function isMarked(pid: number, mark: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
  return environment.split('\0').includes(`${RUN_VARIABLE}=${mark}`);
}
