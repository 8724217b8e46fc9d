/**
 * A rank that a head or `expertwire rank --nproc` started: it takes its orders, the secret among them, from a pipe that no other process can
 * read, and the end of that pipe tells it that its parent is gone.
 */
import { createInterface } from 'node:readline';
import { EngineError } from '../protocol/errors.js';
import { remoteErrorOf, remoteMessage } from '../../comm/base/errors.js';
import { hubCacheFolder } from '../hub/cache/hub_cache.js';
import { strayError } from '../plugins/stray_error.js';
import type { EndedNeighbour } from '../protocol/step_plan.js';
import { runRank, type RankOptions } from './rank_main.js';
import type { RankFailure, Standing } from './rank_service.js';
import type { RankJob } from '../protocol/rank_job.js';
import { takePlace, type PlaceOrder } from './rank_place.js';
import { runRankThreads } from './rank_threads.js';

/** One JSON line on standard input. */
export interface SpawnOrder extends Omit<
  RankOptions,
  | 'signal'
  | 'threadSeat'
  | 'place'
  | 'stopwatch'
  | 'takeTermination'
  | 'takeNeighbourEnd'
  | 'onStanding'
  | 'onRefused'
  | 'onJoined'
  | 'readsHeadsFolder'
  | 'hubCache'
> {
  /** What it takes of its machine. */
  readonly place: PlaceOrder;
  /** Run ranks 0 … n − 1, which are the whole job, as threads of this process, instead of one rank. */
  readonly numThreads?: number;
  /** The head itself started it, on its own model folder, and tells its user what it is told: the rank need not. */
  readonly isHeads?: boolean;
}

/** What a rank tells the process that started it: it has joined a job, and what it is to it; it left one that goes on. */
export type SpawnedRankNews =
  | Standing
  | { readonly kind: 'joined'; readonly rank: number; readonly onPeerLoss: RankJob['onPeerLoss'] }
  | { readonly kind: 'left' };

/** The process of a rank, as far as it has to do with it. */
export interface SpawnedProcess {
  readonly stdin: NodeJS.ReadableStream;
  readonly stderr: NodeJS.WritableStream;
  /** Reaches the parent. */
  readonly tell: (news: SpawnedRankNews) => void;
  /** Its environment, in which is set what the order says. */
  readonly env: Record<string, string | undefined>;
  /** Ends the rank with an error that nobody waited for, its reason. */
  readonly stray: AbortSignal;
  readonly takeTermination: NonNullable<RankOptions['takeTermination']>;
  /** The parent tells it to stop: who took that is asked first. */
  readonly terminate: () => void;
}

/** A further JSON line: the rank is to leave its job where that goes on without it, and to end otherwise; or its head is to hear of the end of another rank. */
export type SpawnedWord = 'leave' | { readonly ended: EndedNeighbour };

/**
 * As {@link runRank}. False: it could not start, and its parent was told why.
 * @throws EngineError HEAD_LOST when the parent went away.
 */
export async function runSpawnedRank({
  stdin,
  stderr,
  tell,
  env,
  stray,
  takeTermination,
  terminate,
}: SpawnedProcess): Promise<boolean> {
  const gone = new AbortController();
  stray.addEventListener('abort', () => gone.abort(strayError(stray.reason) ?? stray.reason), { once: true });
  const lines = createInterface({ input: stdin });
  /** Its head's pipe ends with the head, which it outlives: the end of the control link tells it. */
  let hasGrace = false;
  /** Before it serves a head, that one sees for itself who is gone. */
  let tellOfEnd: (ended: EndedNeighbour) => void = () => undefined;
  const order = new Promise<SpawnOrder>((resolve, reject) => {
    lines.once('line', (line) => {
      resolve(JSON.parse(line) as SpawnOrder);
      lines.on('line', (later) => {
        const word = JSON.parse(later) as SpawnedWord;
        if (word === 'leave') terminate();
        else tellOfEnd(word.ended);
      });
    });
    lines.once('close', () => {
      const lost = new EngineError('HEAD_LOST', 'the process that started this rank is gone; start the job again');
      reject(lost);
      if (!hasGrace) gone.abort(lost);
    });
  });
  try {
    const { numThreads, isHeads = false, ...options } = await order;
    const place = takePlace(options.place, env, numThreads);
    const onRefused = ({ message }: Error): void => void stderr.write(`turned away: ${message}\n`);
    const onJoined = ({ onPeerLoss, headGraceMs }: RankJob, rank: number): void => {
      hasGrace = isHeads && headGraceMs > 0;
      tell({ kind: 'joined', onPeerLoss, rank });
    };
    const told = { ...options, place, readsHeadsFolder: isHeads, hubCache: hubCacheFolder(env), signal: gone.signal };
    const isTold = ({ isHeadTold }: RankFailure): boolean => isHeads && isHeadTold;
    const onFailed = (failure: RankFailure): void => {
      if (!isTold(failure)) stderr.write(`${remoteMessage(remoteErrorOf(failure.error))}\n`);
    };
    const takeNeighbourEnd = (tellHead: typeof tellOfEnd): void => void (tellOfEnd = tellHead);
    const outcome = await (numThreads === undefined
      ? runRank({ ...told, onRefused, onJoined, takeTermination, takeNeighbourEnd, onStanding: tell })
      : runRankThreads(numThreads, { ...told, onFailed }));
    if (outcome.kind === 'left') tell({ kind: 'left' });
    if (outcome.kind !== 'failed') return true;
    if (!isTold(outcome)) throw outcome.error;
    return false;
  } finally {
    lines.close(); // an open standard input would keep this process alive
  }
}
