import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelSpec } from '../../../lib/model/spec/spec.js';
import { openWeights, type ModelWeights } from '../../../lib/model/stored/model_weights.js';
import { withTempFolder } from '../temp_folder.js';
import { writeSafetensors, type TensorToWrite } from './safetensors_writer.js';

/** Runs `use` with the weights of a folder, open for as long. */
export async function withWeightsOf<T>(
  dir: string,
  spec: ModelSpec,
  use: (weights: ModelWeights) => Promise<T> | T,
): Promise<T> {
  const weights = await openWeights(dir, spec);
  try {
    return await use(weights);
  } finally {
    await weights.close();
  }
}

/** The same with a folder of these tensors alone. */
export async function withWeights<T>(
  tensors: readonly TensorToWrite[],
  spec: ModelSpec,
  use: (weights: ModelWeights) => Promise<T> | T,
): Promise<T> {
  return withTempFolder(async (dir) => {
    await writeFile(join(dir, 'model.safetensors'), writeSafetensors(tensors));
    return withWeightsOf(dir, spec, use);
  });
}
