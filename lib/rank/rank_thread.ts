/** One rank as a thread; started by rank_threads, which is told why it failed. */
import { parentPort, workerData } from 'node:worker_threads';
import { EngineError } from '../protocol/errors.js';
import { remoteErrorOf } from '../../comm/base/errors.js';
import { strayError } from '../plugins/stray_error.js';
import { runRank, type RankOptions } from './rank_main.js';

const stopped = new AbortController();
const stop = (): void =>
  stopped.abort(new EngineError('HEAD_LOST', 'the process that started this rank is gone; start the job again'));
process.on('uncaughtException', (error) => stopped.abort(strayError(error) ?? error));
parentPort?.on('message', stop).unref(); // an order that may never come keeps no thread alive
const outcome = await runRank({ ...(workerData as RankOptions), signal: stopped.signal });
if (outcome.kind === 'failed') {
  parentPort?.postMessage({ error: remoteErrorOf(outcome.error), isHeadTold: outcome.isHeadTold });
}
