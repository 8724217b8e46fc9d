/** All ranks of a job as threads of this process: started, watched, and ended together. */
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { createThreadSeats, portsOf, type ThreadSeat } from '../../comm/threads/thread_seat.js';
import { EngineError } from '../protocol/errors.js';
import { remoteErrorOf, remoteMessage, type RemoteError } from '../../comm/base/errors.js';
import type { RankOptions } from './rank_main.js';
import type { RankFailure, RankOutcome } from './rank_service.js';

/** As for one rank, and who hears of the first failure. */
export interface RankThreadsOptions extends Omit<RankOptions, 'onRefused' | 'onJoined' | 'takeTermination'> {
  /** The first rank that failed, at once: the head may end this process before it can say more. */
  readonly onFailed?: (failure: RankFailure) => void;
}

/** What a thread says of its rank. */
interface ThreadFailure {
  readonly error: RemoteError;
  readonly isHeadTold: boolean;
}

interface RankThread {
  readonly worker: Worker;
  readonly outcome: Promise<RankOutcome>;
}

/**
 * Ranks that lost another one end by themselves. Meanwhile the head gathers what it hears: closed connections tell which rank was first, the end
 * of this process doesn't.
 */
const LINGER_MS = 500;

/** Resolves when the head shut the job down, or with what befell the first rank that ended otherwise; then all of them have ended. */
export async function runRankThreads(
  numRanks: number,
  { signal, onFailed, ...order }: RankThreadsOptions,
): Promise<RankOutcome> {
  signal.throwIfAborted();
  const threads = createThreadSeats(numRanks).map((seat) => startThread(order, seat));
  const stop = (): void => threads.forEach(({ worker }) => worker.postMessage('stop'));
  signal.addEventListener('abort', stop, { once: true });
  try {
    const outcome = await firstFailure(threads.map(({ outcome }) => outcome));
    if (outcome.kind !== 'failed') return outcome;
    if (!signal.aborted) onFailed?.(outcome);
    await delay(LINGER_MS, undefined, { signal }).catch(() => undefined);
    return signal.aborted ? { kind: 'failed', error: signal.reason, isHeadTold: false } : outcome;
  } finally {
    signal.removeEventListener('abort', stop);
    await Promise.all(threads.map(({ worker }) => worker.terminate()));
  }
}

/** In order of time; where there is none, how all of them ended. */
function firstFailure(outcomes: readonly Promise<RankOutcome>[]): Promise<RankOutcome> {
  return new Promise((resolve) => {
    for (const each of outcomes) void each.then((outcome) => outcome.kind === 'failed' && resolve(outcome));
    void Promise.all(outcomes).then(([outcome]) => resolve(outcome!));
  });
}

function startThread(order: Omit<RankOptions, 'signal'>, threadSeat: ThreadSeat): RankThread {
  const { rank } = threadSeat;
  const worker = new Worker(new URL('./rank_thread.js', import.meta.url), {
    workerData: { ...order, rank, threadSeat },
    transferList: portsOf(threadSeat),
  });
  const outcome = new Promise<RankOutcome>((resolve) => {
    const fail = (why: string, isHeadTold = false): void =>
      resolve({ kind: 'failed', error: new EngineError('RANK_FAILED', `rank ${rank}: ${why}`, { rank }), isHeadTold });
    worker.on('message', ({ error, isHeadTold }: ThreadFailure) => fail(remoteMessage(error), isHeadTold));
    worker.on('error', (error: unknown) => fail(remoteErrorOf(error).reason));
    worker.on('exit', (code) =>
      code === 0 ? resolve({ kind: 'shut_down' }) : fail(`its thread ended with code ${code}`),
    );
  });
  return { worker, outcome };
}
