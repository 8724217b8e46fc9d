/** Workers whose work a test plays, on a bus in memory. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { JobBus } from '../../../lib/jobs/base/job_bus.js';
import { shardOf } from '../../../lib/jobs/base/parse.js';
import { shardRecord, type Shard, type ShardKey } from '../../../lib/jobs/base/task.js';
import { openLocalJobBus } from '../../../lib/jobs/local/local_job_bus.js';
import { systemClock } from '../../../lib/jobs/local/clock.js';
import type { TryContext, TryResult } from '../../../lib/jobs/worker/execution.js';
import { Worker } from '../../../lib/jobs/worker/worker.js';
import { withTempFolder } from '../temp_folder.js';

/** What a worker does with a task. */
export type Play = (context: TryContext) => Promise<TryResult>;

/** A bus, and workers on it. */
export interface PlayedWorkers {
  readonly bus: JobBus;
  readonly folder: string;
  /** `over`: a bus of its own in place of the scene's. */
  readonly start: (id: string, play: Play, width?: number, over?: JobBus) => Promise<Worker>;
  /** Resolves once the shard's record satisfies. */
  readonly shard: (key: ShardKey, isMeant?: (shard: Shard) => boolean) => Promise<Shard>;
}

const isEnd = ({ state }: Shard): boolean => state !== 'trying';

/** Runs `use`; all workers end behind it. */
export const withPlayedWorkers = (use: (workers: PlayedWorkers) => Promise<void>): Promise<void> =>
  withTempFolder(async (folder) => {
    const bus = await openLocalJobBus(join(folder, 'jobs'), { isDurable: false });
    const scratch = join(folder, 'scratch');
    await mkdir(scratch);
    const workers: Worker[] = [];
    const start = async (id: string, play: Play, width = 1, over = bus): Promise<Worker> => {
      const record = { id, host: 'here', pid: 1, version: '0', width, startedMs: 0 };
      const rights = { models: [], canLoadCode: false, servers: [] };
      const context = { rights, realPath: () => null, env: {}, apiKey: null, program: [], graceMs: 0 };
      const worker = await Worker.start({
        bus: over,
        farewellMs: 50,
        record,
        clock: systemClock,
        scratch,
        context,
        execute: play,
      });
      workers.push(worker);
      return worker;
    };
    const shard: PlayedWorkers['shard'] = (key, isMeant = isEnd) =>
      new Promise((resolve) => {
        const stop = bus.records.watch(shardRecord(key), {
          changed: (name, text, revision) => {
            const found = text === null ? null : shardOf({ key: name, text, revision });
            if (found === null || !isMeant(found)) return;
            resolve(found);
            queueMicrotask(() => stop());
          },
        });
      });
    try {
      await use({ bus, folder, start, shard });
    } finally {
      await Promise.all(workers.map((worker) => worker.end(0)));
      await bus.close();
    }
  });
