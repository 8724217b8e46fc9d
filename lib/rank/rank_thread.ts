/** One rank as a thread; started by rank_threads. An error ends it, and is told to the thread that started it. */
import { parentPort, workerData } from 'node:worker_threads';
import { EngineError } from '../protocol/errors.js';
import { runRank } from './rank_main.js';
import type { RankThreadOrder } from './rank_threads.js';

const stopped = new AbortController();
const stop = (): void =>
  stopped.abort(new EngineError('HEAD_LOST', 'the process that started this rank is gone; start the job again'));
parentPort?.on('message', stop).unref(); // an order that may never come keeps no thread alive
const onHeadKnows = (): void => parentPort?.postMessage('told');
await runRank({ ...(workerData as RankThreadOrder), onHeadKnows, signal: stopped.signal });
