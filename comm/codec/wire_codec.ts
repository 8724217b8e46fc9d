/** A way for rows to travel that somebody else wrote. Shape suffixes: n rows, H channels. */

/** Encodes and decodes rows; pure, so that every rank decodes alike and own rows are rounded as those that travel are. */
export interface WireCodec {
  /** What a row of H channels takes on the wire, in bytes: at least 1. */
  rowBytes(hidden: number): number;
  /** Writes rows x [n·H] to `out`, n · rowBytes bytes. */
  encode(x: Float32Array, numRows: number, hidden: number, out: Uint8Array): void;
  /** Reads rows from `wire`, n · rowBytes bytes, into `out` [n·H]. */
  decode(wire: Uint8Array, numRows: number, hidden: number, out: Float32Array): void;
}
