/** The same run in line: on a bus of this process, or of NATS, with a worker beside it. */
import { realpathSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CommandContext } from '../../lib/commands/base/context.js';
import { CLUSTER_DEFAULTS } from '../../lib/config/cluster_schema.js';
import { QueueRunner } from '../../lib/experiment/runners/queue/queue_runner.js';
import { sessionOf } from '../../lib/experiment/runners/queue/run_tasks.js';
import type { JobBus } from '../../lib/jobs/base/job_bus.js';
import { systemClock } from '../../lib/jobs/local/clock.js';
import { openLocalJobBus } from '../../lib/jobs/local/local_job_bus.js';
import { Worker } from '../../lib/jobs/worker/worker.js';

const PROGRAM = [fileURLToPath(new URL('../../lib/cli.js', import.meta.url))];

/** A runner with its worker. */
export interface QueuedSite {
  readonly runner: QueueRunner;
  readonly close: () => Promise<void>;
}

/** `bus`: nats://…; null: of this process, with a folder. @throws JobError BUS_FAILED */
export async function queuedSite(
  bus: string | null,
  folder: string,
  model: string,
  env: CommandContext['env'],
): Promise<QueuedSite> {
  const scratch = join(folder, 'scratch');
  await mkdir(scratch);
  const name = sessionOf('bench', folder);
  const open = (): Promise<JobBus> => openBus(bus, folder, env);
  const theirs = await open();
  const ours = bus === null ? sharedBus(theirs) : await open();
  const record = { id: `bench-${process.pid}`, host: 'here', pid: process.pid, version: '0', width: 1, startedMs: 0 };
  const rights = { models: [dirname(resolve(model))], canLoadCode: false, servers: [] };
  const context = { rights, realPath, env, apiKey: null, program: PROGRAM, graceMs: 5000 };
  const worker = await Worker.start({ bus: theirs, record, clock: systemClock, scratch, context });
  const runner = new QueueRunner({ bus: ours, session: name, width: 1 });
  const close = async (): Promise<void> => {
    await runner.close();
    await worker.end(0);
    await theirs.close();
  };
  return { runner, close };
}

async function openBus(bus: string | null, folder: string, env: CommandContext['env']): Promise<JobBus> {
  if (bus === null) return openLocalJobBus(join(folder, 'jobs'));
  const { openNatsJobBus } = await import('../../lib/jobs/nats/nats_job_bus.js');
  return openNatsJobBus({ ...CLUSTER_DEFAULTS, bus }, env);
}

/** The worker closes it. */
const sharedBus = ({ records, tasks, schedules, blobs, logs, roster }: JobBus): JobBus => ({
  ...{ records, tasks, schedules, blobs, logs, roster },
  close: () => Promise.resolve(),
});

function realPath(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}
