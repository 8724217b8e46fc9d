/** A worker whose shards do nothing, so that what is measured is jobs alone; each may lead. */
import { coordinate } from '../../lib/jobs/coordinator/coordinate.js';
import type { JobBus } from '../../lib/jobs/base/job_bus.js';
import { systemClock } from '../../lib/jobs/local/clock.js';
import { LEFT, leaveResult } from './played_result.js';
import { Worker } from '../../lib/jobs/worker/worker.js';

/** What it did since it was asked last. */
export interface WorkerFigures {
  readonly numTries: number;
  /** Of each try, from when its run was due to its begin. */
  readonly lateMs: readonly number[];
  /** Tries at one time, at most. */
  readonly mostAtOnce: number;
}

/** How it works. */
export interface BenchWorkerOptions {
  readonly id: string;
  readonly width: number;
  /** Folder where folders of tries are made. */
  readonly scratch: string;
}

/** In this process. */
export class BenchWorker {
  private numTries = 0;
  private lateMs: number[] = [];
  private numAtOnce = 0;
  private mostAtOnce = 0;

  private constructor(
    private readonly worker: Worker,
    private readonly leading: Promise<void>,
    private readonly ending: AbortController,
  ) {}

  /** It has its place, and may lead. @throws JobError */
  static async start(bus: JobBus, { id, width, scratch }: BenchWorkerOptions): Promise<BenchWorker> {
    const ending = new AbortController();
    const record = { id, host: 'bench', pid: process.pid, version: '0', width, startedMs: Date.now() };
    let own: BenchWorker | null = null;
    const worker = await Worker.start({
      ...{ bus, record, clock: systemClock, scratch },
      context: {
        ...{ rights: { models: [], canLoadCode: false, servers: [] }, realPath: () => null },
        ...{ env: {}, apiKey: null, program: [], graceMs: 0, blobs: bus.blobs },
      },
      execute: async ({ task, folder }) => {
        await own?.tried(task.dueMs);
        if (task.work.kind !== 'measure') return { files: [], value: null };
        await leaveResult(folder.path);
        return { files: LEFT, value: null };
      },
    });
    const leading = coordinate(bus, { id, clock: systemClock, log: () => undefined }, ending.signal);
    own = new BenchWorker(worker, leading, ending);
    return own;
  }

  /** Since the last time. */
  figures(): WorkerFigures {
    const { numTries, lateMs, mostAtOnce } = this;
    this.numTries = 0;
    this.lateMs = [];
    this.mostAtOnce = 0;
    return { numTries, lateMs, mostAtOnce };
  }

  /** What it has in hand goes to others. */
  async close(): Promise<void> {
    this.ending.abort();
    await this.worker.end(0);
    await this.leading;
  }

  private async tried(dueMs: number): Promise<void> {
    this.numTries++;
    this.lateMs.push(Date.now() - dueMs);
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.numAtOnce);
    await new Promise((resolve) => setImmediate(resolve));
    this.numAtOnce--;
  }
}
