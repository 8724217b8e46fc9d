/**
 * The payload of a frame with many rows, which are encoded when they leave. n rows, H channels.
 * Why: docs/decisions/exchange.md#rows-are-copied-once
 */
import { rowsFrom, type FloatRows } from '../../../base/float_rows.js';
import type { PayloadStream } from '../../mesh/payload_stream.js';
import type { PayloadMemory } from '../../mesh/payload_pool.js';
import { encodeRows, wireRowBytes, type WireForm } from '../../codec/wire_dtype.js';

/** Fewer bytes leave in one or two writes anyway. */
const MIN_BYTES = 1024 * 1024;
/** Several rows per piece. */
const MAX_ROW_BYTES = 32 * 1024;

/** The rows of a payload: `rows` [n] of x, or its first n where null. */
export interface StreamedRows {
  readonly dtype: WireForm;
  readonly x: FloatRows;
  readonly rows: Int32Array | null;
  readonly numRows: number;
}

/** Whether it pays, and can be: the scales of all rows come before their codes, and a codec of somebody else fails where its call can. */
export function canStream(dtype: WireForm, numRows: number, hidden: number): boolean {
  const rowBytes = wireRowBytes(dtype, hidden);
  return (dtype === 'f32' || dtype === 'bf16') && rowBytes <= MAX_ROW_BYTES && numRows * rowBytes >= MIN_BYTES;
}

/** `head`, then rows in their wire dtype, then `tail`. x must not change before all bytes were made. */
export class RowStream implements PayloadStream {
  readonly numBytes: number;
  private readonly rowBytes: number;
  private at = 0;

  constructor(
    private readonly rows: StreamedRows,
    private readonly head: Uint8Array,
    private readonly tail: Uint8Array,
    private readonly memory: PayloadMemory,
  ) {
    this.rowBytes = wireRowBytes(rows.dtype, rows.x.hidden);
    this.numBytes = head.byteLength + rows.numRows * this.rowBytes + tail.byteLength;
  }

  /** Whole rows; before and behind them, as much as there is room for. */
  next(into: Uint8Array): number {
    const { head, tail, rowBytes } = this;
    const rowsAt = head.byteLength;
    const tailAt = this.numBytes - tail.byteLength;
    let length: number;
    if (this.at < rowsAt) length = copyPart(head, this.at, into);
    else if (this.at < tailAt) length = this.encode((this.at - rowsAt) / rowBytes, into);
    else length = copyPart(tail, this.at - tailAt, into);
    this.at += length;
    return length;
  }

  /** In one piece of `memory`. */
  rest(): Uint8Array<ArrayBuffer> {
    const bytes = this.memory.allocate(this.numBytes - this.at);
    for (let at = 0; at < bytes.byteLength;) at += this.next(bytes.subarray(at));
    return bytes;
  }

  private encode(row: number, into: Uint8Array): number {
    const { dtype, x, rows, numRows } = this.rows;
    const count = Math.min(numRows - row, Math.floor(into.byteLength / this.rowBytes));
    const length = count * this.rowBytes;
    const from = rows === null ? rowsFrom(x, row, count) : x;
    encodeRows(dtype, from, rows?.subarray(row, row + count) ?? null, count, x.hidden, into.subarray(0, length));
    return length;
  }
}

/** Returns how many bytes fitted. */
function copyPart(part: Uint8Array, at: number, into: Uint8Array): number {
  const bytes = part.subarray(at, at + into.byteLength);
  into.set(bytes);
  return bytes.byteLength;
}
