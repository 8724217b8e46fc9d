/** The threads that compute within a rank, where its kernels do. Why: docs/decisions/threads.md#threads-or-ranks */
import { compileKernels, type KernelSettings } from '../../compute/wasm/memory/kernel_settings.js';
import { Crew } from '../../compute/wasm/threads/crew.js';
import { ExpertError } from '../../compute/base/errors.js';
import type { ThreadsWish } from '../protocol/rank_job.js';
import type { ThreadsReport } from '../protocol/step_plan.js';
import type { RankPlace } from './rank_place.js';

/** More gain little: they wait for the memory, and for each other. */
const MAX_AUTO_THREADS = 16;

/** What a rank starts. */
export interface RankCrew {
  /** Null: the rank's own thread computes alone. */
  readonly crew: Crew | null;
  readonly report: ThreadsReport;
}

/** How many threads compute in a rank that has so many cores. Pure. Why: docs/decisions/threads.md#threads-or-ranks */
export const numThreadsOf = (wish: ThreadsWish, numCores: number): number =>
  wish === 'auto' ? Math.min(MAX_AUTO_THREADS, Math.max(1, numCores)) : wish;

/**
 * Threads that can't be started are a notice where nobody asked for them.
 * Why: docs/decisions/threads.md#a-thread-that-fails-ends-the-rank
 * @throws ExpertError THREAD_FAILED where somebody did
 */
export async function startRankCrew(
  wish: ThreadsWish,
  { numCores }: Pick<RankPlace, 'numCores'>,
  settings: KernelSettings,
): Promise<RankCrew> {
  const numThreads = numThreadsOf(wish, numCores);
  const alone = { numThreads: 1, threadsNotice: null };
  if (numThreads === 1) return { crew: null, report: alone };
  const options = { numThreads, module: compileKernels(settings), tileRows: settings.tileRows };
  try {
    // Who looks for work takes the core of another one where there are too few.
    const crew = await Crew.start({ ...options, ...(numThreads > numCores && { lookMs: 0 }) });
    return { crew, report: { ...alone, numThreads } };
  } catch (error) {
    if (wish !== 'auto' || !(error instanceof ExpertError)) throw error;
    return { crew: null, report: { ...alone, threadsNotice: `one thread computes: ${error.message}` } };
  }
}
