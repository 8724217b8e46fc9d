/** Jobs of one machine: a folder, and the process that works there. Why: docs/decisions/jobs.md#one-bus-two-kinds */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { printable } from '../../../base/foreign_text.js';
import { PathLock } from '../../../base/path_lock.js';
import { JobError } from '../base/errors.js';
import type { JobBus, JobClock } from '../base/job_bus.js';
import { systemClock } from './clock.js';
import { FolderBlobs } from './folder_blobs.js';
import { FolderLogs } from './folder_logs.js';
import { LocalQueue } from './local_queue.js';
import { LocalRecords } from './local_records.js';
import { LocalRoster, visitedRoster } from './local_roster.js';
import { LocalSchedules } from './local_schedules.js';
import { RecordFiles } from './record_files.js';
import { VisitedRecords } from './visited_records.js';

/** How a folder of jobs is used. */
export interface LocalJobBusOptions {
  readonly clock?: JobClock;
  /** False: records are in memory alone, for who needs none afterwards. Default true. */
  readonly isDurable?: boolean;
  /** Another process took the folder, which is told once: nothing may be done there any more. */
  readonly onLost?: () => void;
}

/**
 * The bus of the process that works in this folder, which is made where it isn't there, for this user alone.
 *
 * @throws JobError FOLDER_IN_USE, BROKEN_RECORD; what the file system throws
 */
export async function openLocalJobBus(folder: string, options: LocalJobBusOptions = {}): Promise<JobBus> {
  const { clock = systemClock, isDurable = true, onLost = () => undefined } = options;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const lock = await PathLock.takeInTurn(join(folder, 'worker'), onLost);
  if (!(lock instanceof PathLock)) {
    const { pid, host } = lock.owner;
    throw new JobError(
      'FOLDER_IN_USE',
      `process ${pid} of ${printable(host)} works in ${printable(folder)}; give another --folder, or --bus for several workers`,
    );
  }
  try {
    const records = await LocalRecords.open(new RecordFiles(join(folder, 'records')), clock, isDurable);
    // Of processes that died.
    for (const { key } of await records.list('worker')) await records.remove(key);
    return partsOf(folder, records, clock, lock);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

function partsOf(folder: string, records: LocalRecords, clock: JobClock, lock: PathLock): JobBus {
  const [logs, roster] = [new FolderLogs(join(folder, 'logs'), clock), new LocalRoster(records, clock)];
  const [tasks, schedules] = [new LocalQueue(records, clock), new LocalSchedules(records, clock)];
  const blobs = new FolderBlobs(join(folder, 'files'));
  let closing: Promise<void> | null = null;
  const end = async (): Promise<void> => {
    schedules.close();
    tasks.close();
    blobs.close();
    await roster.close();
    await logs.close();
    await records.close();
    await lock.release();
  };
  return { records, tasks, schedules, blobs, logs, roster, close: () => (closing ??= end()) };
}

/** What a process sees and does from outside, while another one may work there: apply jobs, ask for runs, read. */
export type VisitedJobBus = Pick<JobBus, 'records' | 'blobs' | 'logs' | 'close'> & {
  readonly roster: Pick<JobBus['roster'], 'watch'>;
};

/** The folder's bus from outside. It is made where it isn't there: a worker may come later. @throws what the file system throws */
export async function visitLocalJobBus(folder: string, clock = systemClock): Promise<VisitedJobBus> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const records = new VisitedRecords(new RecordFiles(join(folder, 'records')), clock);
  const [blobs, logs] = [new FolderBlobs(join(folder, 'files')), new FolderLogs(join(folder, 'logs'), clock)];
  const close = async (): Promise<void> => {
    records.close();
    await logs.close();
  };
  return { records, blobs, logs, roster: visitedRoster(records), close };
}
