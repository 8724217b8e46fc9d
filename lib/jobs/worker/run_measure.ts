/** A run of an experiment, as the local runner does it. */
import { join } from 'node:path';
import { existsSync } from 'node:fs';
import { LocalRunner } from '../../experiment/runs/local_runner.js';
import { RUN_FILES, writeRun } from '../../experiment/runs/run_folder.js';
import { JobError } from '../base/errors.js';
import type { Json } from '../base/job.js';
import type { TaskError } from '../base/run.js';
import { allowedRun, checkSameFiles } from '../work/allowed_run.js';
import type { Execute } from './execution.js';
import { followFile } from './followed_file.js';

/** A run that failed, in its own words and with its own code. */
export class MeasureFailure extends Error {
  constructor(readonly taskError: TaskError) {
    super(taskError.message);
    this.name = 'MeasureFailure';
  }
}

/** Leaves `result.json` and `log.txt`. @throws MeasureFailure; JobError NOT_ALLOWED; the signal's reason */
export const runMeasure: Execute<'measure'> = async ({ run }, context) => {
  const { task, folder, rights, realPath, program, env, signal, graceMs, log } = context;
  const here = allowedRun(run, rights, realPath);
  await checkSameFiles(run, here);
  await writeRun(folder.path, here);
  const runner = new LocalRunner({ env, graceMs, program: [...program, 'measure', '--spawned'] });
  const end = followFile(join(folder.path, RUN_FILES.log), log);
  const ended = await runner.run(folder.path, task.timeoutMs, signal).finally(end);
  if (ended.status !== 'ok') throw new MeasureFailure(ended.error);
  const { metrics, backend } = ended.result;
  const files = [RUN_FILES.result, RUN_FILES.log].filter((name) => existsSync(join(folder.path, name)));
  return { files, value: { metrics: metrics as Json, backend } };
};

/** Whose code is told as it is. */
export const taskErrorOf = (error: unknown): TaskError => {
  if (error instanceof MeasureFailure) return error.taskError;
  if (error instanceof JobError) return { code: error.code, message: error.text };
  const { code, message } = error as NodeJS.ErrnoException;
  return { code: 'TASK_FAILED', message: `${code === undefined ? '' : `${code}: `}${message}` };
};
