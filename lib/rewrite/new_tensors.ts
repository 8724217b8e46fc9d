/** Tensors of a new checkpoint, by what they are made of. None is read before it is written, and then piece by piece wherever its bytes are those of the source. */
import type { Checkpoint } from '../weights/checkpoint.js';
import type { TensorSource } from '../weights/checkpoint_writer.js';
import type { TensorInfo } from '../weights/safetensors_header.js';

/** As it is stored. `name`: what it is called in the new checkpoint; default: as before. */
export function copiedTensor(checkpoint: Checkpoint, tensor: TensorInfo, name: string = tensor.name): TensorSource {
  const { dtype, shape } = tensor;
  return { name, dtype, shape, fill: (out, first) => checkpoint.readInto({ tensor, offset: 0 }, first, out) };
}

/** Some entries of a tensor's first dimension, in the order in which they are given: experts of a tensor that holds many, rows of a gate. */
export function pickedTensor(checkpoint: Checkpoint, tensor: TensorInfo, entries: readonly number[]): TensorSource {
  const { name, dtype, shape, begin, end } = tensor;
  const entryBytes = (end - begin) / Math.max(1, shape[0]!);
  const fill = async (out: Uint8Array, first: number): Promise<void> => {
    for (let at = 0; at < out.length;) {
      const offset = (first + at) % entryBytes;
      const count = Math.min(entryBytes - offset, out.length - at);
      const entry = entries[Math.floor((first + at) / entryBytes)]!;
      await checkpoint.readInto({ tensor, offset: entry * entryBytes }, offset, out.subarray(at, at + count));
      at += count;
    }
  };
  return { name, dtype, shape: [entries.length, ...shape.slice(1)], fill };
}

/** What a tensor is, without its bytes. */
export type TensorHead = Pick<TensorSource, 'name' | 'dtype' | 'shape'>;

/** Made as a whole just before it is written, and forgotten when it is. `make`: called once. */
export const madeTensor = (head: TensorHead, make: () => Promise<Uint8Array> | Uint8Array): TensorSource =>
  madeTogether([head], async () => [await make()])[0]!;

/**
 * Several tensors that come of one computation, which is done once, just before the first of them is written: they should be written one behind the other. Bytes of each are forgotten when
 * they are written.
 */
export function madeTogether(
  heads: readonly TensorHead[],
  make: () => Promise<readonly Uint8Array[]>,
): readonly TensorSource[] {
  let made: Promise<(Uint8Array | null)[]> | null = null;
  return heads.map((head, i) => ({
    ...head,
    fill: async (out: Uint8Array, first: number): Promise<void> => {
      made ??= make().then((all) => [...all]);
      const all = await made;
      const bytes = all[i]!;
      out.set(bytes.subarray(first, first + out.length));
      if (first + out.length >= bytes.length) all[i] = null;
    },
  }));
}
