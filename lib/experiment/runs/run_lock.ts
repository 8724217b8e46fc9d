/** Which process does a run. */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { printable } from '../../../base/foreign_text.js';
import { PathLock } from '../../../base/path_lock.js';
import { ExperimentError } from '../base/errors.js';
import { RUN_FILES } from './run_folder.js';

/** Whose runner was killed ends soon: so long is waited for it. */
const PATIENCE_MS = 15_000;
const POLL_MS = 50;

/** Waits for one that is at it. @throws ExperimentError FOLDER_IN_USE; what the file system throws */
export async function runLock(folder: string, patienceMs = PATIENCE_MS): Promise<PathLock> {
  const lastMs = performance.now() + patienceMs;
  for (;;) {
    const taken = await PathLock.takeInTurn(join(folder, RUN_FILES.run), () => undefined);
    if (taken instanceof PathLock) return taken;
    if (performance.now() > lastMs) {
      const { pid, host } = taken.owner;
      throw new ExperimentError(
        'FOLDER_IN_USE',
        `process ${pid} of ${printable(host)} does the run in ${printable(folder)}; wait for it, or end it`,
      );
    }
    await delay(POLL_MS);
  }
}
