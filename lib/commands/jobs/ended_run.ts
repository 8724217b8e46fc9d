/** Waiting for a run's end. */
import { runOf } from '../../jobs/base/parse.js';
import { ENDED, type JobRun } from '../../jobs/base/run.js';
import { runRecord } from '../../jobs/base/task.js';
import type { VisitedJobBus } from '../../jobs/local/local_job_bus.js';

/** Resolves when it has ended. `onChange`: told of each state before. @throws the signal's reason */
export const endedRun = (
  { records }: Pick<VisitedJobBus, 'records'>,
  id: string,
  signal: AbortSignal,
  onChange: (run: JobRun) => void = () => undefined,
): Promise<JobRun> =>
  new Promise((resolve, reject) => {
    const key = runRecord(id);
    const over = (act: () => void): void => {
      signal.removeEventListener('abort', stop);
      act();
      queueMicrotask(() => unwatch());
    };
    const stop = (): void => over(() => reject(signal.reason as Error));
    const unwatch = records.watch(key, {
      changed: (_key, text, revision) => {
        if (text === null) return;
        const run = runOf({ key, text, revision });
        if (ENDED.has(run.state)) over(() => resolve(run));
        else onChange(run);
      },
    });
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop);
  });
