/** A way for rows to travel that somebody else wrote. H channels. */

/**
 * Encodes and decodes one row at a time, so that what a row becomes never depends on its neighbours. Both arrays of a call are the codec's to write over and lie
 * at the beginning of memory of their own; what a call has to write is zeros before it.
 * Why: docs/decisions/exchange.md#codecs-of-others-see-a-row-at-a-time
 */
export interface WireCodec {
  /** What errors call it. Default 'of the caller'. */
  readonly name?: string;
  /** What a row of H channels takes on the wire, in bytes: from 1 to 64 for each channel. The same at each call. */
  rowBytes(hidden: number): number;
  /** Writes row [H] to `out` [rowBytes]. */
  encode(row: Float32Array, out: Uint8Array): void;
  /** Reads `bytes` [rowBytes] into `row` [H], the same floats for the same bytes on every rank. */
  decode(bytes: Uint8Array, row: Float32Array): void;
}
