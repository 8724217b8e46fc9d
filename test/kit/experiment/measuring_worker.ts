/** A worker of a bus of jobs whose runs of experiments are played ones. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LocalRunner } from '../../../lib/experiment/runs/local_runner.js';
import { RUN_FILES, writeRun } from '../../../lib/experiment/runs/run_folder.js';
import type { Json } from '../../../lib/jobs/base/job.js';
import type { JobBus } from '../../../lib/jobs/base/job_bus.js';
import { systemClock } from '../../../lib/jobs/local/clock.js';
import type { TryContext, TryResult } from '../../../lib/jobs/worker/execution.js';
import { followFile } from '../../../lib/jobs/worker/followed_file.js';
import { MeasureFailure } from '../../../lib/jobs/worker/run_measure.js';
import { Worker } from '../../../lib/jobs/worker/worker.js';

const PLAYED = fileURLToPath(new URL('./played_run.js', import.meta.url));

/** Which worker. */
export interface MeasuringWorker {
  readonly bus: JobBus;
  readonly id: string;
  readonly scratch: string;
  readonly graceMs: number;
}

/** As a worker does it, but that runs needn't be allowed ones. */
async function play({ task, folder, signal, graceMs, log }: TryContext): Promise<TryResult> {
  if (task.work.kind !== 'measure') throw new Error('no run');
  await writeRun(folder.path, task.work.run);
  const runner = new LocalRunner({ env: process.env, graceMs, program: [PLAYED] });
  const end = followFile(join(folder.path, RUN_FILES.log), log);
  const ended = await runner.run(folder.path, task.timeoutMs, signal).finally(end);
  if (ended.status !== 'ok') throw new MeasureFailure(ended.error);
  const files = [RUN_FILES.result, RUN_FILES.log].filter((name) => existsSync(join(folder.path, name)));
  return { files, value: { metrics: ended.result.metrics as Json } };
}

/** Takes tasks until it is ended. */
export function measuringWorker({ bus, id, scratch, graceMs }: MeasuringWorker): Promise<Worker> {
  const record = { id, host: 'here', pid: process.pid, version: '0', width: 2, startedMs: 0 };
  const rights = { models: [], canLoadCode: false, servers: [] };
  const context = { rights, realPath: () => null, env: process.env, apiKey: null, program: [], graceMs };
  return Worker.start({ bus, record, clock: systemClock, scratch, context, execute: play });
}
