import { tensorMemory } from '../../../compute/tfjs/tf.js';
import type { Transformer } from '../../../lib/model/transformer.js';

export interface HeldMemory {
  readonly numTensors: number;
  /** Of tensors, and of weights and KV cache in memories of the kernels. */
  readonly numBytes: number;
}

/** What this process holds: tensors, and what the kernels of some models hold. */
export function heldMemory(models: readonly Transformer[]): HeldMemory {
  const { numTensors, numBytes } = tensorMemory();
  return { numTensors, numBytes: models.reduce((sum, model) => sum + model.kernelStats().heldBytes, numBytes) };
}
