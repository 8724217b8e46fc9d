/** Two arrays of one size that take turns, as in DeepEP: an order faster than fresh ones, whose pages the system must find and clear at every call. */
import { CommError } from '../../base/errors.js';

/** What one ArrayBuffer holds on every supported version of Node. */
const MAX_BYTES = 2 ** 32 - 1;

/** The memory that a low-latency dispatch receives into: what one call got stays until the second next one. */
export class PackedBuffers {
  private readonly pair: readonly [Float32Array, Float32Array];
  private turn = 0;

  /**
   * Two arrays of `length` floats, whose memory is taken only as far as rows are written; `what` names the factors of the size.
   * @throws CommError INVALID_ARGUMENT when no array can be so large, LIMIT when the machine doesn't give so much
   */
  constructor(length: number, what: string) {
    const bytes = 4 * length;
    if (bytes > MAX_BYTES) {
      const message = `${what} need ${bytes} bytes in one array, ${MAX_BYTES} allowed; lower maxTokensPerRank`;
      throw new CommError('INVALID_ARGUMENT', message);
    }
    try {
      this.pair = [new Float32Array(length), new Float32Array(length)];
    } catch (cause) {
      const message = `${what} need 2 × ${bytes} bytes, which this machine doesn't give; lower maxTokensPerRank`;
      throw new CommError('LIMIT', message, { cause });
    }
  }

  /** The one that was given out longer ago. */
  next(): Float32Array {
    this.turn = 1 - this.turn;
    return this.pair[this.turn === 0 ? 0 : 1];
  }
}
