/**
 * y = x·Wᵀ over resident matrices. An output's bits depend on its row of x and its row of W alone: see tiles.as.ts.
 *
 * Four rows of W make a panel. They are a quarter of the matrix apart, so that four streams run through memory from page to page: measured 35 GB/s,
 * where four neighbouring rows, whose streams jump all the time, give 18.
 */
import { decode } from './convert.as';
import { F32, Matrix, rowBytes, scaleBytes } from './memory.as';
import { dot1x4, dot2x4 } from './tiles.as';

/** Bytes of x that are gone through for every panel: half of a usual L2 cache. */
const BLOCK_BYTES: i32 = 1 << 19;
/** From so many rows of x on, a panel is decoded once instead of for every row. */
const DECODE_ROWS: i32 = 4;
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
  for (let n = 0; n < quarter; n++) panel(x, numRows, w, n, quarter, y, yBytes);
  // Rows that are left make panels of one row, four times.
  for (let n = quarter << 2; n < w.rows; n++) panel(x, numRows, w, n, 0, y, yBytes);
}

/** Rows n, n + apart, n + 2 · apart, n + 3 · apart of W. */
function panel(x: usize, numRows: i32, w: Matrix, n: i32, apart: i32, y: usize, yBytes: usize): void {
  const bytes = rowBytes(w);
  const xBytes: usize = (<usize>w.stride) << 2;
  const yApart: usize = (<usize>apart) << 2;
  const scales = w.scales + <usize>n * scaleBytes(w);
  let rows = w.data + <usize>n * bytes;
  let rowsApart = <usize>apart * bytes;
  let dtype = w.dtype;
  if (dtype != F32 && numRows >= DECODE_ROWS && w.stride <= DECODE_COLUMNS) {
    const scalesApart = <usize>apart * scaleBytes(w);
    for (let i: usize = 0; i < 4; i++)
      decode(dtype, rows + i * rowsApart, scales + i * scalesApart, w.stride, decodedAt + i * xBytes);
    rows = decodedAt;
    rowsApart = xBytes;
    dtype = F32;
  }
  y += (<usize>n) << 2;
  if (dtype == F32) {
    for (; numRows >= 2; numRows -= 2, x += 2 * xBytes, y += 2 * yBytes)
      dot2x4(x, w.stride, rows, rowsApart, y, yApart, yBytes);
  }
  for (; numRows > 0; numRows--, x += xBytes, y += yBytes)
    dot1x4(dtype, x, w.stride, rows, rowsApart, scales, y, yApart);
}
