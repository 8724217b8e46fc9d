/** A bus of jobs with workers: over NATS a process each, in a folder all in this one. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { JobBus } from '../../lib/jobs/base/job_bus.js';
import { openLocalJobBus } from '../../lib/jobs/local/local_job_bus.js';
import { HelperProcess } from '../base/helper_process.js';
import { openBenchBus } from './bench_bus.js';
import { BenchWorker, type WorkerFigures } from './bench_worker.js';
import type { BusName, JobsBenchOptions } from './options.js';
import type { WorkerNews, WorkerOrder } from './orders.js';
import { startNats } from './started_nats.js';

/** Where jobs run. */
export interface Site {
  readonly bus: JobBus;
  /** Of each worker since the last time. */
  figures(): Promise<readonly WorkerFigures[]>;
  close(): Promise<void>;
}

/** What a site is opened with. */
export type SiteOptions = Pick<JobsBenchOptions, 'workers' | 'width'> & {
  readonly folder: string;
  readonly signal: AbortSignal;
};

/** All workers are there. @throws UsageError, JobError, BenchError */
export const openSite = (name: BusName, options: SiteOptions): Promise<Site> =>
  name === 'nats' ? natsSite(options) : localSite(options);

async function natsSite({ workers, width, folder, signal }: SiteOptions): Promise<Site> {
  const server = await startNats(folder);
  const [processes, buses]: [HelperProcess<WorkerOrder, WorkerNews>[], JobBus[]] = [[], []];
  const close = async (): Promise<void> => {
    await Promise.all([...processes, ...buses].map((each) => each.close()));
    await server.close();
  };
  try {
    const bus = await openBenchBus(server.url);
    buses.push(bus);
    for (let i = 0; i < workers; i++) {
      const worker = new HelperProcess<WorkerOrder, WorkerNews>(
        new URL('./worker_process.js', import.meta.url),
        signal,
      );
      processes.push(worker);
      const scratch = await scratchFolder(folder, i);
      await worker.ask({ kind: 'start', url: server.url, id: `w${i}`, width, scratch });
    }
    const figures = (): Promise<WorkerNews[]> => Promise.all(processes.map((each) => each.ask({ kind: 'figures' })));
    return { bus, figures, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function localSite({ workers, width, folder }: SiteOptions): Promise<Site> {
  const bus = await openLocalJobBus(join(folder, 'jobs'));
  const all: BenchWorker[] = [];
  for (let i = 0; i < workers; i++)
    all.push(await BenchWorker.start(bus, { id: `w${i}`, width, scratch: await scratchFolder(folder, i) }));
  return {
    bus,
    figures: () => Promise.resolve(all.map((each) => each.figures())),
    close: async () => {
      await Promise.all(all.map((each) => each.close()));
      await bus.close();
    },
  };
}

async function scratchFolder(folder: string, index: number): Promise<string> {
  const scratch = join(folder, `scratch-${index}`);
  await mkdir(scratch, { recursive: true });
  return scratch;
}
