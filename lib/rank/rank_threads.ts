/** All ranks of a job as threads of this process: started, watched, and ended together. */
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { createThreadSeats, portsOf } from '../../comm/threads/thread_mesh.js';
import { EngineError } from '../protocol/errors.js';
import type { RankOptions } from './rank_main.js';

/** What a thread is started with. */
export type RankThreadOrder = Omit<RankOptions, 'signal' | 'onRefused' | 'onJoined' | 'onHeadKnows'> &
  Required<Pick<RankOptions, 'rank' | 'threadSeat'>>;

export interface RankThreadsOptions extends RankOptions {
  /** The first rank that failed, at once: the head may end this process before it can say more. */
  readonly onFailed?: (error: EngineError) => void;
}

/**
 * Ranks that lost another one end by themselves. Meanwhile the head gathers what it hears: closed connections tell which rank was first, the end
 * of this process doesn't.
 */
const LINGER_MS = 500;

/** Resolves when the head shut the job down; rejects with what befell the first rank that ended otherwise, after all of them ended. */
export async function runRankThreads(
  numRanks: number,
  { signal, onFailed, onHeadKnows, ...order }: RankThreadsOptions,
): Promise<void> {
  signal.throwIfAborted();
  const threads = createThreadSeats(numRanks).map(
    (threadSeat) => new RankThread({ ...order, rank: threadSeat.rank, threadSeat }, onHeadKnows),
  );
  const stop = (): void => threads.forEach((thread) => thread.stop());
  signal.addEventListener('abort', stop, { once: true });
  const all = Promise.all(threads.map(({ ended }) => ended));
  try {
    await all;
  } catch (error) {
    if (!signal.aborted) onFailed?.(error as EngineError); // a RankThread rejects with nothing else
    await delay(LINGER_MS, undefined, { signal }).catch(() => undefined);
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener('abort', stop);
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
}

class RankThread {
  /** Resolves when its rank ended well. */
  readonly ended: Promise<void>;
  readonly #worker: Worker;

  /** `onHeadKnows`: as a rank's own. */
  constructor(order: RankThreadOrder, onHeadKnows: (() => void) | undefined) {
    const { rank, threadSeat } = order;
    this.#worker = new Worker(new URL('./rank_thread.js', import.meta.url), {
      workerData: order,
      transferList: portsOf(threadSeat),
    });
    this.#worker.on('message', () => onHeadKnows?.()); // the only thing that a rank says
    this.ended = new Promise((resolve, reject) => {
      const fail = (why: string): void => reject(new EngineError('RANK_FAILED', `rank ${rank}: ${why}`, { rank }));
      this.#worker.on('error', (error: unknown) => fail(error instanceof Error ? error.message : String(error)));
      this.#worker.on('exit', (code) => (code === 0 ? resolve() : fail(`its thread ended with code ${code}`)));
    });
  }

  /** Tells it that the process which started the job is gone. */
  stop(): void {
    this.#worker.postMessage('stop');
  }

  /** Ends it even while it computes. */
  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }
}
