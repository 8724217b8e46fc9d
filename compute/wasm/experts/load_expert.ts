/** A SwiGLU network from stored weights, as KernelExpert.from makes it of those in memory. */
import type { StoredFfn } from '../../base/stored_matrix.js';
import type { KernelMemory } from '../memory/kernel_memory.js';
import type { ResidentDtype } from '../memory/resident_dtype.js';
import { allSettled, type WeightLoader } from '../memory/weight_loader.js';
import { KernelExpert } from './kernel_expert.js';

/** Takes its memory at once, before anything is read. @throws ExpertError and others as {@link WeightLoader.fill}, OUT_OF_MEMORY; then nothing is kept */
export async function loadExpert(
  loader: WeightLoader,
  memory: KernelMemory,
  stored: StoredFfn,
  dtype: ResidentDtype,
): Promise<KernelExpert> {
  const { rows: intermediate, columns: hidden } = stored.gate;
  const expert = new KernelExpert(memory, { hidden, intermediate }, dtype);
  try {
    await allSettled((['gate', 'up', 'down'] as const).map((name) => loader.fill(expert[name], stored[name])));
    return expert;
  } catch (error) {
    expert.dispose();
    throw error;
  }
}
