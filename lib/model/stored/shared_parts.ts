import type { Checkpoint } from '../../weights/checkpoint.js';
import { partName, type TensorPart } from '../../weights/tensor_part.js';

/** Bytes that several matrices are made of, read once for as long as one of these holds them. */
export class SharedParts {
  private readonly reads = new Map<string, WeakRef<Promise<Uint8Array>>>();
  /** Forgets what nobody holds any more. */
  private readonly dropped = new FinalizationRegistry<string>((name) => {
    if (this.reads.get(name)?.deref() === undefined) this.reads.delete(name);
  });

  constructor(readonly checkpoint: Checkpoint) {}

  /** Whoever holds the promise holds the bytes. @throws WeightError as the checkpoint's reads */
  read(part: TensorPart, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const name = partName(part);
    const known = this.reads.get(name)?.deref();
    if (known !== undefined) return known;
    const reading: Promise<Uint8Array> = this.checkpoint.readPart(part, { signal }).catch((error: unknown) => {
      if (this.reads.get(name)?.deref() === reading) this.reads.delete(name);
      throw error;
    });
    this.reads.set(name, new WeakRef(reading));
    this.dropped.register(reading, name);
    return reading;
  }
}
