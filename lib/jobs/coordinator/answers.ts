/** What becomes of an ask for a run. Pure. */
import type { Job } from '../base/job.js';
import type { JobRun } from '../base/run.js';
import type { Ask } from '../base/task.js';
import { hasEnded } from '../decisions/graph.js';
import { newRun, refusedRun, resumingRun } from '../decisions/new_run.js';

/** The run that is made; null: none, there is no such job. */
export function answerTo(
  id: string,
  { params, atMs, resume }: Extract<Ask, { readonly kind: 'run' }>,
  { job, resumed, nowMs }: { readonly job: Job | null; readonly resumed: JobRun | null; readonly nowMs: number },
): JobRun | null {
  if (job === null) return null;
  const run = newRun({ id, job, cause: { kind: 'asked' }, params, dueMs: atMs, nowMs });
  if (resume === null) return run;
  if (resumed === null) {
    return refusedRun(run, { code: 'NO_SUCH_RUN', message: `there is no run ${resume}; see jobs ls --runs` });
  }
  return hasEnded(resumed)
    ? resumingRun(resumed, { id, params, dueMs: atMs, nowMs })
    : refusedRun(run, { code: 'NO_SUCH_RUN', message: `${resume} has not ended yet; wait for it, or stop it` });
}
