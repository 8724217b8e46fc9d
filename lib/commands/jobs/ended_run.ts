/** Waiting for a run's end. */
import { JobError } from '../../jobs/base/errors.js';
import { runOf } from '../../jobs/base/parse.js';
import { ENDED, type JobRun } from '../../jobs/base/run.js';
import { askRecord, runRecord } from '../../jobs/base/task.js';
import type { VisitedJobBus } from '../../jobs/local/local_job_bus.js';

/** Resolves when it has ended. @throws JobError NO_SUCH_RUN where it was removed, or never made; the signal's reason */
export const endedRun = (
  { records }: Pick<VisitedJobBus, 'records'>,
  id: string,
  signal: AbortSignal,
): Promise<JobRun> =>
  new Promise((resolve, reject) => {
    const unwatch: (() => void)[] = [];
    const over = (act: () => void): void => {
      signal.removeEventListener('abort', stop);
      act();
      queueMicrotask(() => unwatch.forEach((each) => each()));
    };
    const stop = (): void => over(() => reject(signal.reason as Error));
    const gone = (): void => over(() => reject(removed(id)));
    /** Who took the ask made the run before. */
    const look = (): void =>
      void records.read(runRecord(id)).then((record) => {
        if (record === null) gone();
      }, reject);
    const key = runRecord(id);
    const run = records.watch(key, {
      changed: (_key, text, revision) => {
        if (text === null) return gone();
        const read = runOf({ key, text, revision });
        if (ENDED.has(read.state)) over(() => resolve(read));
      },
    });
    let isAsked = false;
    const ask = records.watch(askRecord(id), {
      changed: (_key, text) => {
        isAsked = text !== null;
        if (!isAsked) look();
      },
      ready: () => {
        if (!isAsked) look();
      },
    });
    unwatch.push(run, ask);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop);
  });

const removed = (id: string): JobError =>
  new JobError(
    'NO_SUCH_RUN',
    `the run ${id} isn't there any more: it or its job was removed; see expertwire jobs ls --runs`,
  );
