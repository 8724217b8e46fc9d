/** How late a job begins that is due each second, with cores idle and with all of them busy. */
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { closing } from '../../lib/commands/base/closing.js';
import { jobRecord } from '../../lib/jobs/base/task.js';
import { HelperProcess } from '../base/helper_process.js';
import { quantile } from '../base/machine.js';
import type { FigureRow, Measured } from '../base/measured.js';
import { benchJob, putJob, watchRuns } from './bench_job.js';
import type { BusName, JobsBenchOptions } from './options.js';
import type { BusyOrder } from './orders.js';
import { openSite, type Site, type SiteOptions } from './site.js';

const JOB = 'each-second';
const PERIOD_MS = 1000;
/** Of a run that is under way when the time is over. */
const REST_MS = 1500;

type Bench = JobsBenchOptions & SiteOptions;

/** Two rows for each bus. */
export async function measureTriggers(bench: Bench): Promise<Measured> {
  const rows: FigureRow[] = [];
  for (const bus of bench.buses) {
    const site = await openSite(bus, bench);
    await closing(
      () => site.close(),
      async () => {
        for (const load of ['idle', 'busy'] as const) rows.push(await rowOf(site, bus, load, bench));
      },
    );
  }
  return {
    formula: `a job of one shard that is due each second, for ${bench.seconds} s. made: the run's record is there, begun: a worker runs the shard, both in ms from when it was due; missed: seconds without a begin; at_once: runs side by side, at most. busy: a process more on each core that computes without end`,
    baseline: 'idle: the same cores with nothing else to do; local: a timer in one process',
    aim: 'begun_p99 ≤ 100 ms, none missed, one at once',
    rows,
    answers: 0,
    changed: 0,
  };
}

async function rowOf(site: Site, bus: BusName, load: 'idle' | 'busy', { seconds, signal }: Bench): Promise<FigureRow> {
  const numBusy = load === 'idle' ? 0 : availableParallelism();
  const module = new URL('./busy_process.js', import.meta.url);
  const busy = Array.from({ length: numBusy }, () => new HelperProcess<BusyOrder, object>(module, signal));
  return closing(
    async () => {
      await Promise.all(busy.map((each) => each.close()));
    },
    async () => {
      await Promise.all(busy.map((each) => each.ask({ kind: 'begin' })));
      return { bus, load, ...(await triggered(site, seconds, signal)) };
    },
  );
}

async function triggered(site: Site, seconds: number, signal: AbortSignal): Promise<FigureRow> {
  const madeMs = new Map<string, number>();
  const stop = watchRuns(site.bus, JOB, (run) => madeMs.set(run.id, run.madeMs - run.dueMs));
  await site.figures();
  await putJob(site.bus, benchJob(JOB, 1, [{ kind: 'every', everyMs: PERIOD_MS }]));
  await delay(seconds * 1000, undefined, { signal });
  await site.bus.records.remove(jobRecord(JOB));
  await delay(REST_MS, undefined, { signal });
  stop();
  const figures = await site.figures();
  const [made, begun] = [[...madeMs.values()], figures.flatMap(({ lateMs }) => lateMs)];
  return {
    ...{ runs: begun.length, missed: Math.max(seconds - 1 - begun.length, 0) },
    ...{ made_p50: quantile(made, 0.5), made_p99: quantile(made, 0.99) },
    ...{ begun_p50: quantile(begun, 0.5), begun_p99: quantile(begun, 0.99), begun_max: Math.max(...begun) },
    at_once: Math.max(...figures.map(({ mostAtOnce }) => mostAtOnce)),
  };
}
