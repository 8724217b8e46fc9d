/** How many shards per second workers take: of a job, from being asked for to its end. */
import { closing } from '../../lib/commands/base/closing.js';
import type { Shard } from '../../lib/jobs/base/task.js';
import type { FigureRow, Measured } from '../base/measured.js';
import { benchJob, putJob, runJob } from './bench_job.js';
import type { BusName, JobsBenchOptions } from './options.js';
import { openSite, type SiteOptions } from './site.js';

const JOB = 'many';

/** A row for each bus. */
export async function measureTasks(bench: JobsBenchOptions & SiteOptions): Promise<Measured> {
  const rows: FigureRow[] = [];
  for (const bus of bench.buses) rows.push(await rowOf(bus, bench));
  return {
    formula: `tasks_per_s: ${bench.tasks} shards that do nothing ÷ time from asking for the run to its end; once: shards that are done in effect; tries: how often shards were run; ${bench.workers} workers, ${bench.width} at a time each`,
    baseline: 'local: the same job in one process, with records in a folder',
    aim: 'every shard once in effect',
    rows,
    answers: 0,
    changed: 0,
  };
}

async function rowOf(name: BusName, bench: JobsBenchOptions & SiteOptions): Promise<FigureRow> {
  const site = await openSite(name, bench);
  return closing(
    () => site.close(),
    async () => {
      await putJob(site.bus, benchJob(JOB, bench.tasks, []));
      const run = await runJob(site.bus, JOB);
      const shards = (await site.bus.records.list(`shard.${run.id}`)).map(({ text }) => JSON.parse(text) as Shard);
      const numTries = (await site.figures()).reduce((sum, each) => sum + each.numTries, 0);
      const seconds = ((run.endedMs ?? NaN) - run.madeMs) / 1000;
      return {
        ...{ bus: name, state: run.state, seconds, tasks_per_s: bench.tasks / seconds },
        ...{ once: shards.filter(({ state }) => state === 'done').length, tries: numTries },
      };
    },
  );
}
