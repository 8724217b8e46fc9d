/**
 * y = x·Wᵀ over resident matrices. An output's bits depend on its row of x and its row of W alone: see tiles.as.ts.
 * Why: docs/decisions/exactness.md#a-row-depends-on-its-own-values-alone, docs/decisions/kernels.md#panels-that-are-read-at-once
 */
import { BF16, F32, INT8, Matrix, PANEL, PANEL_ROW, here, panelBytes } from '../memory/memory.as';
import { BLOCK_INPUTS, blockOf } from './blocks.as';
import { roundsRows, wholePanels } from './whole_linear.as';
import { tileRows } from './tile_rows.as';
import { tile1x16, tile1x64, tile2x16, tile2x32, tile4x16, tile6x16 } from './tiles.as';

/** Bytes of x that are gone through for every panel. */
const BLOCK_BYTES: i32 = 1 << 20;
/** Rows whose outputs of a panel that isn't full are held at once. */
const RAGGED_ROWS: i32 = 32;

const zerosAt: usize = memory.data(64, 64);
const raggedAt: usize = memory.data(64 * RAGGED_ROWS, 64);

/** Rows of x that are gone through for every panel. */
export function blockRows(w: Matrix): i32 {
  return max(12, (BLOCK_BYTES / (w.stride << 2) / 12) * 12);
}

/**
 * The outputs of panels `first` … `end` − 1, in their places. x: numRows rows of W.stride floats, zeros in the padding. y: numRows rows of `yStride` floats; columns
 * W.rows … yStride − 1 stay as they are.
 */
export function linearPanels(x: usize, numRows: i32, w: Matrix, first: i32, end: i32, y: usize, yStride: i32): void {
  const xBytes: usize = (<usize>w.stride) << 2;
  const yBytes: usize = (<usize>yStride) << 2;
  if (roundsRows(w.dtype)) return wholePanels(x, numRows, w, first, end, y, yBytes);
  const most = blockRows(w);
  for (let row = 0; row < numRows; row += most) {
    rowsBlock(x, min(most, numRows - row), w, first, end, y, yBytes);
    x += <usize>most * xBytes;
    y += <usize>most * yBytes;
  }
}

function rowsBlock(x: usize, numRows: i32, w: Matrix, first: i32, end: i32, y: usize, yBytes: usize): void {
  const numFull = min(end, w.rows / PANEL);
  let panel = first;
  const atOnce = numRows == 1 ? 4 : 2;
  if (numRows <= fewRows(w))
    for (; panel + atOnce <= numFull; panel += atOnce)
      severalPanels(x, numRows, w, panel, y + <usize>panel * PANEL_ROW, yBytes);
  for (; panel < numFull; panel++) product(x, numRows, w, panel, y + <usize>panel * PANEL_ROW, yBytes);
  if (numFull < end && first < end) raggedPanel(x, numRows, w, y, yBytes);
}

/** So many rows wait for weights: several panels are read at once, row pair by row pair. Codes of checkpoints become floats first. */
function fewRows(w: Matrix): i32 {
  return w.dtype > INT8 ? 0 : w.dtype == INT8 ? 2 : 7;
}

function severalPanels(x: usize, numRows: i32, w: Matrix, panel: i32, y: usize, yBytes: usize): void {
  const data = w.data + <usize>panel * panelBytes(w);
  if (w.dtype == F32) tiles<f32>(x, numRows, w, data, y, yBytes);
  else if (w.dtype == BF16) tiles<u16>(x, numRows, w, data, y, yBytes);
  else tiles<i8>(x, numRows, w, data, y, yBytes);
}

/** One row and four panels, or two panels and pair by pair of rows. T: as in tiles.as.ts. */
function tiles<T>(x: usize, numRows: i32, w: Matrix, data: usize, y: usize, yBytes: usize): void {
  const numBytes: usize = (<usize>w.stride) << 2;
  const apart = panelBytes(w);
  if (numRows == 1) return tile1x64<T>(x, numBytes, data, apart, y);
  for (; numRows >= 2; numRows -= 2, x += 2 * numBytes, y += 2 * yBytes)
    tile2x32<T>(x, numBytes, numBytes, data, apart, y, yBytes);
  if (numRows == 1) {
    tile1x16<T>(x, numBytes, data, zerosAt, y);
    tile1x16<T>(x, numBytes, data + apart, zerosAt, y + PANEL_ROW);
  }
}

/** The last panel, of fewer outputs than it has room for. */
function raggedPanel(x: usize, numRows: i32, w: Matrix, y: usize, yBytes: usize): void {
  const panel = w.rows / PANEL;
  const bytes: usize = (<usize>(w.rows % PANEL)) << 2;
  const sums = here(raggedAt);
  y += <usize>panel * PANEL_ROW;
  for (; numRows > 0; numRows -= RAGGED_ROWS) {
    const count = min(numRows, RAGGED_ROWS);
    product(x, count, w, panel, sums, PANEL_ROW);
    for (let row = 0; row < count; row++, y += yBytes) memory.copy(y, sums + <usize>row * PANEL_ROW, bytes);
    x += <usize>count * ((<usize>w.stride) << 2);
  }
}

/** Rows of x times one panel, to 16 floats every `yBytes`. */
function product(x: usize, numRows: i32, w: Matrix, panel: i32, y: usize, yBytes: usize): void {
  const xBytes: usize = (<usize>w.stride) << 2;
  const data = w.data + <usize>panel * panelBytes(w);
  if (w.dtype == F32 || w.dtype > INT8 || numRows >= decodingRows(w)) blocks(x, numRows, w, panel, y, yBytes);
  else if (w.dtype == BF16) rows<u16>(x, numRows, xBytes, xBytes, data, zerosAt, 0, y, yBytes);
  else rows<i8>(x, numRows, xBytes, xBytes, data, zerosAt, 0, y, yBytes);
}

/** From so many rows on it costs less to decode a panel once than in every tile, at once where tiles are low. */
function decodingRows(w: Matrix): i32 {
  if (tileRows == 2) return 0;
  return w.dtype == BF16 ? 24 : 8;
}

/** Block by block of inputs, as floats; y has the sums so far. */
function blocks(x: usize, numRows: i32, w: Matrix, panel: i32, y: usize, yBytes: usize): void {
  const xBytes: usize = (<usize>w.stride) << 2;
  let sums = zerosAt;
  let sumsBytes: usize = 0;
  for (let input = 0; input < w.stride; input += BLOCK_INPUTS) {
    const count = min(BLOCK_INPUTS, w.stride - input);
    const block = blockOf(w, panel, input, count);
    rows<f32>(x, numRows, xBytes, (<usize>count) << 2, block, sums, sumsBytes, y, yBytes);
    sums = y;
    sumsBytes = yBytes;
    x += (<usize>count) << 2;
  }
}

/** T: as in tiles.as.ts. */
function rows<T>(
  x: usize,
  numRows: i32,
  xBytes: usize,
  numBytes: usize,
  data: usize,
  sums: usize,
  sumsBytes: usize,
  y: usize,
  yBytes: usize,
): void {
  if (sizeof<T>() == 4 && tileRows >= 6) {
    for (; numRows >= 6; numRows -= 6) {
      tile6x16(x, xBytes, numBytes, data, sums, sumsBytes, y, yBytes);
      x += 6 * xBytes;
      sums += 6 * sumsBytes;
      y += 6 * yBytes;
    }
  }
  if (tileRows >= 4) {
    for (; numRows >= 4; numRows -= 4) {
      tile4x16<T>(x, xBytes, numBytes, data, sums, sumsBytes, y, yBytes);
      x += 4 * xBytes;
      sums += 4 * sumsBytes;
      y += 4 * yBytes;
    }
  }
  for (; numRows >= 2; numRows -= 2) {
    tile2x16<T>(x, xBytes, numBytes, data, sums, sumsBytes, y, yBytes);
    x += 2 * xBytes;
    sums += 2 * sumsBytes;
    y += 2 * yBytes;
  }
  if (numRows == 1) tile1x16<T>(x, numBytes, data, sums, y);
}
