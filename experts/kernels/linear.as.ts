/**
 * y = x·Wᵀ over resident matrices. An output's bits depend on its row of x and its row of W alone: see tiles.as.ts.
 *
 * Four rows of W make a panel. They are a quarter of the matrix apart, so that four streams run through memory from page to page: measured 34 GB/s for
 * one row of x, where four neighbouring rows, whose streams jump all the time, give 18. Where there are enough rows of x, the weights of a panel are
 * decoded once for all of them; then its rows are neighbours, read one after the other.
 */
import { decode } from './convert.as';
import { BF16, F32, INT8, Matrix, rowBytes, scaleBytes } from './memory.as';
import { dot1x4, dot2x4Bf16, dot2x4F32 } from './tiles.as';

/** Bytes of x that are gone through for every panel. Measured for rows of 7168: 44 GFLOP/s with 512 KiB, 49 with 1 MiB, 52 with 2 MiB. */
const BLOCK_BYTES: i32 = 1 << 21;
/** From so many rows of x on, decoding a panel costs less than decoding in every tile. */
const DECODE_ROWS_BF16: i32 = 8;
const DECODE_ROWS_INT8: i32 = 3;
/** Columns of the longest rows that are decoded so. */
const DECODE_COLUMNS: i32 = 16384;
const decodedAt: usize = memory.data(16 * DECODE_COLUMNS, 64);

/**
 * x: numRows rows of W.stride floats, zeros in the padding. y: numRows rows of `yStride` floats; columns W.rows … yStride − 1 stay as they are.
 */
export function linear(x: usize, numRows: i32, weight: usize, y: usize, yStride: i32): void {
  const w = changetype<Matrix>(weight);
  const most = max(2, (BLOCK_BYTES / (w.stride << 2)) & ~1);
  for (let row = 0; row < numRows; row += most) {
    block(x, min(most, numRows - row), w, y, (<usize>yStride) << 2);
    x += <usize>most * ((<usize>w.stride) << 2);
    y += <usize>most * ((<usize>yStride) << 2);
  }
}

function block(x: usize, numRows: i32, w: Matrix, y: usize, yBytes: usize): void {
  const quarter = w.rows >> 2;
  if (isDecoded(w, numRows)) {
    for (let n = 0; n < quarter; n++) decodedPanel(x, numRows, w, n << 2, y, yBytes);
  } else {
    for (let n = 0; n < quarter; n++) panel(x, numRows, w, n, quarter, y, yBytes);
  }
  // Rows that are left make panels of one row, four times.
  for (let n = quarter << 2; n < w.rows; n++) panel(x, numRows, w, n, 0, y, yBytes);
}

function isDecoded(w: Matrix, numRows: i32): bool {
  if (w.dtype == F32 || w.stride > DECODE_COLUMNS) return false;
  return numRows >= (w.dtype == BF16 ? DECODE_ROWS_BF16 : DECODE_ROWS_INT8);
}

/** Rows n, n + apart, n + 2 · apart, n + 3 · apart of W. */
function panel(x: usize, numRows: i32, w: Matrix, n: i32, apart: i32, y: usize, yBytes: usize): void {
  const rows = w.data + <usize>n * rowBytes(w);
  const scales = w.scales + <usize>n * scaleBytes(w);
  tiles(
    w.dtype,
    x,
    numRows,
    w.stride,
    rows,
    <usize>apart * rowBytes(w),
    scales,
    y + ((<usize>n) << 2),
    (<usize>apart) << 2,
    yBytes,
  );
}

/** Rows n … n + 3 of W. */
function decodedPanel(x: usize, numRows: i32, w: Matrix, n: i32, y: usize, yBytes: usize): void {
  const bytes: usize = (<usize>w.stride) << 2;
  for (let i = 0; i < 4; i++) {
    const row = <usize>(n + i);
    decode(w.dtype, w.data + row * rowBytes(w), w.scales + row * scaleBytes(w), w.stride, decodedAt + <usize>i * bytes);
  }
  tiles(F32, x, numRows, w.stride, decodedAt, bytes, 0, y + ((<usize>n) << 2), 4, yBytes);
}

/** All rows of x times four rows of weights, `apart` bytes from each other; results are `yApart` bytes from each other. */
function tiles(
  dtype: i32,
  x: usize,
  numRows: i32,
  width: i32,
  rows: usize,
  apart: usize,
  scales: usize,
  y: usize,
  yApart: usize,
  yBytes: usize,
): void {
  const xBytes: usize = (<usize>width) << 2;
  // A single row leaves the processor room to read ahead, into the next panel too: the last is one. With an even number there are two; in f32 the other is
  // the first, which reads the panel faster than a pair. Measured for 4 to 16 rows: 5 to 8 % faster.
  let pairs = numRows > 2 ? (numRows - 1) >> 1 : numRows >> 1;
  if (dtype == INT8) pairs = 0;
  if (dtype == F32 && numRows > 2 && (numRows & 1) == 0) {
    dot1x4(dtype, x, width, rows, apart, scales, y, yApart);
    x += xBytes;
    y += yBytes;
    numRows--;
  }
  if (dtype == F32) dot2x4F32(x, pairs, width, rows, apart, y, yApart, yBytes);
  else if (dtype == BF16) dot2x4Bf16(x, pairs, width, rows, apart, y, yApart, yBytes);
  x += 2 * <usize>pairs * xBytes;
  y += 2 * <usize>pairs * yBytes;
  for (numRows -= 2 * pairs; numRows > 0; numRows--, x += xBytes, y += yBytes)
    dot1x4(dtype, x, width, rows, apart, scales, y, yApart);
}
