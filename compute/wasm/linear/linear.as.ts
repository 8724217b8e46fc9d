/**
 * y = x·Wᵀ over resident matrices. An output's bits depend on its row of x and its row of W alone: see tiles.as.ts.
 *
 * Four rows of W make a panel. They are a quarter of the matrix apart, so that four streams run through memory from page to page: measured 34 GB/s for
 * one row of x, where four neighbouring rows, whose streams jump all the time, give 18.
 * Why: docs/decisions/kernels.md#four-weight-rows-a-quarter-apart
 */
import { BF16, F32, Matrix, rowBytes, scaleBytes } from '../memory/memory.as';
import { PACK_COLUMNS, pack1x4, packed1x4, packed2x4 } from './packed_tiles.as';
import { dot1x4, dot2x4Bf16, dot2x4F32 } from './tiles.as';

/** Bytes of x that are gone through for every panel. Measured for rows of 7168: 44 GFLOP/s with 512 KiB, 49 with 1 MiB, 52 with 2 MiB. */
const BLOCK_BYTES: i32 = 1 << 21;
/** From so many rows of x on, decoding a panel once costs less than in every tile. */
const PACK_ROWS_BF16: i32 = 3;
const PACK_ROWS_INT8: i32 = 2;

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
  for (let n = 0; n < quarter; n++) panel(x, numRows, w, n, quarter, y, yBytes);
  // Rows that are left make panels of one row, four times.
  for (let n = quarter << 2; n < w.rows; n++) panel(x, numRows, w, n, 0, y, yBytes);
}

/** Rows n, n + apart, n + 2 · apart, n + 3 · apart of W. */
function panel(x: usize, numRows: i32, w: Matrix, n: i32, apart: i32, y: usize, yBytes: usize): void {
  const rows = w.data + <usize>n * rowBytes(w);
  const rowsApart = <usize>apart * rowBytes(w);
  const scales = w.scales + <usize>n * scaleBytes(w);
  const yApart: usize = (<usize>apart) << 2;
  y += (<usize>n) << 2;
  if (w.dtype == F32) plainTiles(x, numRows, w.stride, rows, rowsApart, y, yApart, yBytes);
  else if (numRows >= (w.dtype == BF16 ? PACK_ROWS_BF16 : PACK_ROWS_INT8) && w.stride <= PACK_COLUMNS)
    packedTiles(w.dtype, x, numRows, w.stride, rows, rowsApart, scales, y, yApart, yBytes);
  else decodingTiles(w.dtype, x, numRows, w.stride, rows, rowsApart, scales, y, yApart, yBytes);
}

/**
 * f32. A single row leaves the processor room to read ahead, into the next panel too, so the last is one. With an even number of rows the first is one as
 * well: it reads the panel faster than a pair. Measured for 4 to 16 rows: 5 to 8 % faster than pairs alone.
 */
function plainTiles(
  x: usize,
  numRows: i32,
  width: i32,
  rows: usize,
  apart: usize,
  y: usize,
  yApart: usize,
  yBytes: usize,
): void {
  const xBytes: usize = (<usize>width) << 2;
  if (numRows > 2 && (numRows & 1) == 0) {
    dot1x4(F32, x, width, rows, apart, 0, y, yApart);
    x += xBytes;
    y += yBytes;
    numRows--;
  }
  const pairs = numRows >> 1;
  dot2x4F32(x, pairs, width, rows, apart, y, yApart, yBytes);
  if ((numRows & 1) == 0) return;
  dot1x4(F32, x + 2 * <usize>pairs * xBytes, width, rows, apart, 0, y + 2 * <usize>pairs * yBytes, yApart);
}

/** bf16 and int8 for few rows. */
function decodingTiles(
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
  const pairs = dtype == BF16 ? numRows >> 1 : 0;
  dot2x4Bf16(x, pairs, width, rows, apart, y, yApart, yBytes);
  x += 2 * <usize>pairs * xBytes;
  y += 2 * <usize>pairs * yBytes;
  for (numRows -= 2 * pairs; numRows > 0; numRows--, x += xBytes, y += yBytes)
    dot1x4(dtype, x, width, rows, apart, scales, y, yApart);
}

/** bf16 and int8 for more rows. */
function packedTiles(
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
  pack1x4(dtype, x, width, rows, apart, scales, y, yApart);
  x += xBytes;
  y += yBytes;
  const pairs = (numRows - 1) >> 1;
  packed2x4(x, pairs, width, y, yApart, yBytes);
  if ((numRows & 1) == 0) packed1x4(x + 2 * <usize>pairs * xBytes, width, y + 2 * <usize>pairs * yBytes, yApart);
}
