/** Threads that compute, for tests. */
import type { Worker } from 'node:worker_threads';
import { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { compileKernels, PLAIN_KERNELS } from '../../../compute/wasm/memory/kernel_settings.js';
import { Crew } from '../../../compute/wasm/threads/crew.js';

/** A crew that looks long enough for work to take part in it, by default in all that can be divided. */
export const startCrew = (numThreads: number, lookMs = 5, regionNs = 0): Promise<Crew> =>
  Crew.start({ numThreads, module: compileKernels(PLAIN_KERNELS), lookMs, regionNs });

export const memoryOf = (crew: Crew | null): KernelMemory => new KernelMemory(undefined, PLAIN_KERNELS, crew);

/** The threads that are started meanwhile, in their order. */
export async function workersOf<T>(start: () => Promise<T>): Promise<{ readonly workers: Worker[]; readonly made: T }> {
  const workers: Worker[] = [];
  const note = (worker: Worker): void => void workers.push(worker);
  process.on('worker', note);
  try {
    return { made: await start(), workers };
  } finally {
    process.off('worker', note);
  }
}
