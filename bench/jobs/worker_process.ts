/** A worker in a process of its own, over NATS. */
import { InternalError } from '../../base/coded_error.js';
import { obey } from '../base/helper_process.js';
import { BenchWorker } from './bench_worker.js';
import { openBenchBus } from './bench_bus.js';
import type { WorkerNews, WorkerOrder } from './orders.js';

let worker: BenchWorker | null = null;

obey(async (order: WorkerOrder): Promise<WorkerNews> => {
  if (order.kind === 'start') {
    const { id, width, scratch, url } = order;
    worker = await BenchWorker.start(await openBenchBus(url), { id, width, scratch });
  }
  if (worker === null) throw new InternalError('a worker was asked before it began');
  return worker.figures();
});
