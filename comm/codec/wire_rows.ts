/** Rows in their wire dtype, moved without being decoded: what a relay does. n rows, H channels. */
import { wireRowBytes, type WireForm } from './wire_dtype.js';

/** A view of bytes as rows of one dtype and width; it copies rows with their scales. */
export class WireRows {
  private readonly numRows: number;
  private readonly scaleBytes: number;
  private readonly valueBytes: number;

  /** `bytes`: [n] rows as `encodeRows` writes them, or memory for them. */
  constructor(
    dtype: WireForm,
    hidden: number,
    readonly bytes: Uint8Array,
  ) {
    const rowBytes = wireRowBytes(dtype, hidden);
    this.numRows = bytes.byteLength / rowBytes;
    // Where rows have scales, those of all rows come first, then one byte per channel.
    this.valueBytes = dtype === 'fp8' || dtype === 'int8' ? hidden : rowBytes;
    this.scaleBytes = rowBytes - this.valueBytes;
  }

  /** Copies `count` rows of the same dtype and width. */
  copy(from: WireRows, fromRow: number, toRow: number, count: number): void {
    const [scaleBytes, valueBytes] = [this.scaleBytes, this.valueBytes];
    if (scaleBytes > 0) copyBytes(from.bytes, fromRow * scaleBytes, this.bytes, toRow * scaleBytes, count * scaleBytes);
    const fromAt = from.numRows * scaleBytes + fromRow * valueBytes;
    copyBytes(from.bytes, fromAt, this.bytes, this.numRows * scaleBytes + toRow * valueBytes, count * valueBytes);
  }

  /** Row n becomes row `rows[n]` of `from`. Neighbours are copied together. */
  gather(from: WireRows, rows: Int32Array): void {
    for (let start = 0; start < rows.length;) {
      let end = start + 1;
      while (end < rows.length && rows[end] === rows[end - 1]! + 1) end++;
      this.copy(from, rows[start]!, start, end - start);
      start = end;
    }
  }
}

function copyBytes(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, numBytes: number): void {
  to.set(from.subarray(fromAt, fromAt + numBytes), toAt);
}
