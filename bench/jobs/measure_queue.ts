/** What it adds to a run of an experiment that it waits in line for a worker, beside having it here. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { closing } from '../../lib/commands/base/closing.js';
import { QueueRunner } from '../../lib/experiment/runners/queue/queue_runner.js';
import { readResult, writeRun } from '../../lib/experiment/runs/run_folder.js';
import { median, quantile } from '../base/machine.js';
import { BenchError } from '../base/errors.js';
import type { FigureRow, Measured } from '../base/measured.js';
import type { BusName, JobsBenchOptions } from './options.js';
import { leaveResult, playedRun } from './played_result.js';
import { openSite, type Site, type SiteOptions } from './site.js';

const TIMEOUT_MS = 60_000;
/** V8 compiles meanwhile. */
const NUM_WARM_UPS = 10;

type Bench = JobsBenchOptions & SiteOptions;

/** A row for each bus. */
export async function measureQueue(bench: Bench): Promise<Measured> {
  const rows: FigureRow[] = [];
  for (const bus of bench.buses) rows.push(await rowOf(bus, bench));
  return {
    formula: `queued: ms from giving the runner of queued runs one that computes nothing to its result in the folder, ${bench.runs} one after the other; overhead: median of queued − here, in pairs`,
    baseline: 'here: the same files are written and read in the folder by this process',
    aim: 'overhead < 50 ms',
    rows,
    answers: 0,
    changed: 0,
  };
}

async function rowOf(name: BusName, bench: Bench): Promise<FigureRow> {
  const site = await openSite(name, bench);
  return closing(
    () => site.close(),
    async () => {
      const pairs = await pairsOf(site, bench);
      const queued = pairs.map(([queuedMs]) => queuedMs);
      return {
        ...{ bus: name, runs: pairs.length, here_p50: median(pairs.map(([, hereMs]) => hereMs)) },
        ...{ queued_p50: median(queued), queued_p99: quantile(queued, 0.99) },
        overhead_ms: median(pairs.map(([queuedMs, hereMs]) => queuedMs - hereMs)),
      };
    },
  );
}

async function pairsOf({ bus }: Site, { runs, folder, signal }: Bench): Promise<(readonly [number, number])[]> {
  // The runner closes its bus, which is the site's.
  const lent = { ...bus, close: () => Promise.resolve() };
  const runner = new QueueRunner({ bus: lent, session: 'bench', width: 1 });
  return closing(
    () => runner.close(),
    async () => {
      const pairs: (readonly [number, number])[] = [];
      for (let i = 0; i < runs + NUM_WARM_UPS; i++) {
        const run = await folderOf(folder, i);
        const queuedMs = await took(async () => {
          const end = await runner.run(run, TIMEOUT_MS, signal);
          if (end.status !== 'ok') throw new BenchError('NOT_UNDERSTOOD', `a run failed: ${end.error.message}`);
        });
        const hereMs = await took(async () => {
          await leaveResult(run);
          await readResult(run);
        });
        if (i >= NUM_WARM_UPS) pairs.push([queuedMs, hereMs]);
      }
      return pairs;
    },
  );
}

async function folderOf(folder: string, index: number): Promise<string> {
  const run = playedRun(index);
  const path = join(folder, 'runs', run.id);
  await mkdir(path, { recursive: true });
  await writeRun(path, run);
  return path;
}

async function took(act: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await act();
  return performance.now() - begun;
}
