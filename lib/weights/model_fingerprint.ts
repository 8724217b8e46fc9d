/** What a model folder is, for others who have one: equal where they have the same model. Why: docs/decisions/handover.md#samples-of-the-weights-name-a-model */
import { openCheckpoint, type Checkpoint } from './checkpoint.js';
import { Fingerprint } from './fingerprint.js';
import { partName, type TensorPart } from './tensor_part.js';

/** Tensors that are read of a checkpoint, and bytes of each of them. */
const MAX_SAMPLES = 256;
const SAMPLE_BYTES = 4096;

/**
 * 64 hexadecimal digits of `preamble`, the headers of the weights and samples of them: reading all of a large model would take minutes. Null: there are no weights
 * in the folder.
 * @throws WeightError READ_FAILED, CHECKPOINT_CHANGED
 */
export async function modelFingerprint(dir: string, preamble: readonly Uint8Array[]): Promise<string | null> {
  const checkpoint = await openCheckpoint(dir).catch(() => null);
  if (checkpoint === null) return null;
  try {
    const fingerprint = new Fingerprint([...preamble, ...checkpoint.headers]);
    for (const part of samplesOf(checkpoint)) fingerprint.add(partName(part), await checkpoint.readPart(part));
    return fingerprint.digest();
  } finally {
    await checkpoint.close();
  }
}

/** The middle of tensors, evenly spread over their names. */
function samplesOf(checkpoint: Checkpoint): TensorPart[] {
  const names = checkpoint.names();
  const every = Math.max(1, names.length / MAX_SAMPLES);
  const count = Math.min(names.length, MAX_SAMPLES);
  return Array.from({ length: count }, (_, i) => {
    const tensor = checkpoint.info(names[Math.floor(i * every)]!);
    const size = tensor.end - tensor.begin;
    const numBytes = Math.min(size, SAMPLE_BYTES);
    return { tensor, offset: Math.floor((size - numBytes) / 2), numBytes };
  });
}
