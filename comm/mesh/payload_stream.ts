/** Payloads that are made piece by piece while they leave: what was just written is still in the cache when the system takes it. */

/** A large payload whose bytes are made when they are wanted, in order. */
export interface PayloadStream {
  readonly numBytes: number;
  /** Writes the next bytes to the beginning of `into`, which has at least 64 KiB, and returns how many. */
  next(into: Uint8Array): number;
  /** All bytes that are left, made now; none at the end. */
  rest(): Uint8Array<ArrayBuffer>;
}
