/** A gated network from stored weights, as KernelExpert.from makes it of those in memory. */
import { SWIGLU, type ActivationSpec } from '../../base/activation_spec.js';
import type { StoredFfn, StoredMatrix } from '../../base/stored_matrix.js';
import { weightRowBytes } from '../../base/weight_matrix.js';
import type { KernelMatrix } from '../memory/kernel_matrix.js';
import type { KernelMemory } from '../memory/kernel_memory.js';
import type { ResidentDtype } from '../memory/resident_dtype.js';
import { allSettled, type WeightLoader } from '../memory/weight_loader.js';
import { KernelExpert, sizesOf } from './kernel_expert.js';

/** Takes its memory at once, before anything is read. @throws ExpertError and others as {@link WeightLoader.fill}, OUT_OF_MEMORY; then nothing is kept */
export async function loadExpert(
  loader: WeightLoader,
  memory: KernelMemory,
  stored: StoredFfn,
  dtype: ResidentDtype,
  activation: ActivationSpec = SWIGLU,
): Promise<KernelExpert> {
  const expert = new KernelExpert(memory, sizesOf(stored), dtype, activation);
  try {
    await fillExpert(loader, expert, stored);
    return expert;
  } catch (error) {
    expert.dispose();
    throw error;
  }
}

/** Stored weights become those of an expert that has its memory. After a failure they are parts of both. @throws ExpertError and others as {@link WeightLoader.fill} */
export async function fillExpert(loader: WeightLoader, expert: KernelExpert, stored: StoredFfn): Promise<void> {
  const filled = (['gate', 'up', 'down'] as const).map((name) => loader.fill(expert[name], stored[name]));
  const biases = stored.biases?.().then((values) => expert.setBiases(values));
  await allSettled(biases === undefined ? filled : [...filled, biases]);
}

/** A resident expert as one that is stored, as which its rows are read: others are made of it. It must stay until they are. */
export function storedIn(expert: KernelExpert): StoredFfn {
  const biases = expert.biases();
  return {
    ...{ gate: storedMatrix(expert.gate), up: storedMatrix(expert.up), down: storedMatrix(expert.down) },
    ...(biases !== undefined && { biases: () => Promise.resolve(biases) }),
  };
}

function storedMatrix(matrix: KernelMatrix): StoredMatrix {
  const { dtype, rows, columns } = matrix;
  const rowBytes = weightRowBytes(dtype, columns);
  return {
    ...{ dtype, rows, columns, rowBytes },
    readRows: (from, target) => {
      target.set(matrix.readRows(from, from + target.length / rowBytes));
      return Promise.resolve();
    },
  };
}
