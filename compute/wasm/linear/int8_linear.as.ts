/**
 * y = x·Wᵀ with int8 weights and x rounded to int8 too: a scale per group of 32 values of a row, as q8_0 of llama.cpp has it. An output's bits depend on its row of x
 * and its row of W alone. Why: docs/decisions/kernels.md#activations-in-whole-numbers
 */
import { Matrix, PANEL, PANEL_ROW, ROW_ALIGN, here, panelBytes, wordsOf } from '../memory/memory.as';
import { X_GROUP, int8Tile1x16, int8Tile1x32, int8Tile2x16, int8Tile4x16 } from './int8_tiles.as';

/** Rows that are rounded at once. */
const ROWS: i32 = 32;
/** Bytes for them: a row of 30,000 inputs, or blocks of about a thousand inputs of 32 rows. */
const CODES_BYTES: i32 = 65536;
const ABS_MASK: i32 = 0x7fffffff;

const codesAt: usize = memory.data(CODES_BYTES, 64);
const raggedAt: usize = memory.data(64 * ROWS, 64);
const zerosAt: usize = memory.data(128, 64);

/** Of all threads: whether products with int8 weights round x as well. */
const isOnAt: usize = memory.data(4, 4);

export function setInt8Activations(on: bool): void {
  store<i32>(isOnAt, on);
}

export function roundsRows(): bool {
  return load<i32>(isOnAt) != 0;
}

/** As linearPanels. */
export function int8Panels(x: usize, numRows: i32, w: Matrix, first: i32, end: i32, y: usize, yBytes: usize): void {
  if (first >= end) return;
  const xBytes: usize = (<usize>w.stride) << 2;
  for (; numRows > 0; numRows -= ROWS) {
    rowsBlock(x, min(numRows, ROWS), w, first, end, y, yBytes);
    x += <usize>ROWS * xBytes;
    y += <usize>ROWS * yBytes;
  }
}

/** Block by block of inputs; between them y, and for a panel that isn't full an area of its own, have the sums so far. */
function rowsBlock(x: usize, numRows: i32, w: Matrix, first: i32, end: i32, y: usize, yBytes: usize): void {
  const numFull = min(end, w.rows / PANEL);
  const most = (CODES_BYTES / (numRows * <i32>X_GROUP)) * ROW_ALIGN;
  const ragged = here(raggedAt);
  for (let input = 0; input < w.stride; input += most) {
    const count = min(most, w.stride - input);
    const numBytes = <usize>(count / ROW_ALIGN) * X_GROUP;
    roundRows(x + ((<usize>input) << 2), numRows, (<usize>w.stride) << 2, count, numBytes);
    const data = w.data + <usize>wordsOf(w.dtype, input) * PANEL_ROW;
    let panel = first;
    if (numRows == 1) {
      for (; panel + 2 <= numFull; panel += 2) {
        const at = y + <usize>panel * PANEL_ROW;
        const codes = here(codesAt);
        const from = data + <usize>panel * panelBytes(w);
        int8Tile1x32(codes, codes + numBytes, from, panelBytes(w), input == 0 ? zerosAt : at, at);
      }
    }
    for (; panel < numFull; panel++)
      product(numRows, numBytes, data + <usize>panel * panelBytes(w), input == 0, y + <usize>panel * PANEL_ROW, yBytes);
    if (numFull < end) product(numRows, numBytes, data + <usize>numFull * panelBytes(w), input == 0, ragged, PANEL_ROW);
  }
  if (numFull == end) return;
  const bytes: usize = (<usize>(w.rows % PANEL)) << 2;
  y += <usize>numFull * PANEL_ROW;
  for (let row = 0; row < numRows; row++, y += yBytes) memory.copy(y, ragged + <usize>row * PANEL_ROW, bytes);
}

/** The rounded rows, `xBytes` each, times a panel. */
function product(numRows: i32, xBytes: usize, w: usize, isFirst: bool, y: usize, yBytes: usize): void {
  let x = here(codesAt);
  let sums = isFirst ? zerosAt : y;
  const sumsBytes: usize = isFirst ? 0 : yBytes;
  for (; numRows >= 4; numRows -= 4) {
    int8Tile4x16(x, xBytes, x + xBytes, w, sums, sumsBytes, y, yBytes);
    x += 4 * xBytes;
    sums += 4 * sumsBytes;
    y += 4 * yBytes;
  }
  for (; numRows >= 2; numRows -= 2) {
    int8Tile2x16(x, xBytes, x + xBytes, w, sums, sumsBytes, y, yBytes);
    x += 2 * xBytes;
    sums += 2 * sumsBytes;
    y += 2 * yBytes;
  }
  if (numRows == 1) int8Tile1x16(x, x + xBytes, w, sums, y);
}

/** `count` inputs of each row, to codesAt. */
function roundRows(x: usize, numRows: i32, xBytes: usize, count: i32, toBytes: usize): void {
  let to = here(codesAt);
  for (let row = 0; row < numRows; row++, x += xBytes, to += toBytes) {
    for (let group = 0; group < count / ROW_ALIGN; group++)
      roundGroup(x + <usize>(group * ROW_ALIGN) * 4, to + <usize>group * X_GROUP);
  }
}

/** Scale = largest magnitude / 127, code = value / scale to nearest, ties to even. NaN and infinity are in the scale, and so in every output of the row. */
function roundGroup(from: usize, to: usize): void {
  const mask = i32x4.splat(ABS_MASK);
  let tops = i32x4.splat(0);
  for (let i: usize = 0; i < 128; i += 16) tops = i32x4.max_s(tops, v128.and(v128.load(from + i), mask));
  const top = max(
    max(i32x4.extract_lane(tops, 0), i32x4.extract_lane(tops, 1)),
    max(i32x4.extract_lane(tops, 2), i32x4.extract_lane(tops, 3)),
  );
  const scale = reinterpret<f32>(top) / 127;
  store<f32>(to, scale);
  to += 4;
  const divisor = f32x4.splat(scale == 0 ? Infinity : scale);
  for (const end = from + 128; from < end; from += 32, to += 16) {
    const low = f32x4.nearest(f32x4.div(v128.load(from), divisor));
    const high = f32x4.nearest(f32x4.div(v128.load(from, 16), divisor));
    const codes = i16x8.narrow_i32x4_s(i32x4.trunc_sat_f32x4_s(low), i32x4.trunc_sat_f32x4_s(high));
    const bounded = i16x8.max_s(i16x8.min_s(codes, i16x8.splat(127)), i16x8.splat(-127));
    v128.store(to, v128.shuffle<i16>(bounded, bounded, 0, 2, 1, 3, 4, 6, 5, 7));
  }
}
