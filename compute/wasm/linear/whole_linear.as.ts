/**
 * y = x·Wᵀ in whole numbers: with int8, int4 and uint4 weights, and x rounded to 16 or 8 bits with a scale per group of 32 values of a row. An output's bits depend on its row
 * of x and its row of W alone. Why: docs/decisions/kernels.md#activations-in-whole-numbers
 */
import { INT4, INT8, Matrix, PANEL, PANEL_ROW, ROW_ALIGN, UINT4, here, panelBytes, wordsOf } from '../memory/memory.as';
import { X_GROUP, X_HEAD, int8Panels } from './int8_tiles.as';
import { nibblePanels } from './nibble_tiles.as';

/** Rows that are rounded at once. */
const ROWS: i32 = 32;
/** Bytes for them: a row of 29,000 inputs, or blocks of about nine hundred inputs of 32 rows. */
const CODES_BYTES: i32 = 65536;
/** Panels that rows are multiplied with at once. Why: docs/decisions/kernels.md#panels-that-are-read-at-once */
const AT_ONCE: i32 = 4;
const ABS_MASK: i32 = 0x7fffffff;
const INT16: i32 = 1;

const codesAt: usize = memory.data(CODES_BYTES, 64);
const raggedAt: usize = memory.data(64 * ROWS, 64);
const zerosAt: usize = memory.data(64 * AT_ONCE, 64);

/** Of all threads: what products with weights of whole numbers round x to. */
const activationsAt: usize = memory.data(4, 4);

/** As ACTIVATIONS of kernel_settings.ts are numbered: 0 rounds nothing. */
export function setActivations(kind: i32): void {
  store<i32>(activationsAt, kind);
}

/** Whether a product with such weights rounds x. */
export function roundsRows(dtype: i32): bool {
  return load<i32>(activationsAt) != 0 && (dtype == INT8 || dtype == INT4 || dtype == UINT4);
}

/** Whether codes of x take a byte: where products of bytes are there, with weights that have 7 bits. The sums are the same. */
function isNarrow(dtype: i32): bool {
  return ASC_FEATURE_RELAXED_SIMD && dtype != INT8 && load<i32>(activationsAt) != INT16;
}

/** As linearPanels. */
export function wholePanels(x: usize, numRows: i32, w: Matrix, first: i32, end: i32, y: usize, yBytes: usize): void {
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
  const groupBytes: usize = isNarrow(w.dtype) ? X_HEAD + ROW_ALIGN : X_GROUP;
  const ragged = here(raggedAt);
  for (let input = 0; input < w.stride; input += most) {
    const count = min(most, w.stride - input);
    const numBytes = <usize>(count / ROW_ALIGN) * groupBytes;
    roundRows(x + ((<usize>input) << 2), numRows, (<usize>w.stride) << 2, count, w.dtype, groupBytes);
    const data = w.data + <usize>wordsOf(w.dtype, input) * PANEL_ROW;
    for (let panel = first; panel < numFull; panel += AT_ONCE) {
      const at = y + <usize>panel * PANEL_ROW;
      const from = data + <usize>panel * panelBytes(w);
      product(numRows, numBytes, w, from, min(AT_ONCE, numFull - panel), input == 0, at, yBytes);
    }
    if (numFull < end)
      product(numRows, numBytes, w, data + <usize>numFull * panelBytes(w), 1, input == 0, ragged, PANEL_ROW);
  }
  if (numFull == end) return;
  const bytes: usize = (<usize>(w.rows % PANEL)) << 2;
  y += <usize>numFull * PANEL_ROW;
  for (let row = 0; row < numRows; row++, y += yBytes) memory.copy(y, ragged + <usize>row * PANEL_ROW, bytes);
}

/** The rounded rows, `xBytes` each, times some panels. */
function product(
  numRows: i32,
  xBytes: usize,
  w: Matrix,
  data: usize,
  numPanels: i32,
  isFirst: bool,
  y: usize,
  yBytes: usize,
): void {
  const x = here(codesAt);
  const apart = panelBytes(w);
  const sums = isFirst ? zerosAt : y;
  const before: usize = isFirst ? 0 : yBytes;
  const isWide = load<i32>(activationsAt) == INT16;
  if (w.dtype == INT8) {
    if (isWide) int8Panels<i16>(numRows, x, xBytes, data, apart, numPanels, sums, before, y, yBytes);
    else int8Panels<i8>(numRows, x, xBytes, data, apart, numPanels, sums, before, y, yBytes);
  } else if (isNarrow(w.dtype)) {
    if (w.dtype == INT4) nibblePanels<i8, i8>(numRows, x, xBytes, data, apart, numPanels, sums, before, y, yBytes);
    else nibblePanels<i8, u8>(numRows, x, xBytes, data, apart, numPanels, sums, before, y, yBytes);
  } else if (w.dtype == INT4)
    nibblePanels<i16, i8>(numRows, x, xBytes, data, apart, numPanels, sums, before, y, yBytes);
  else nibblePanels<i16, u8>(numRows, x, xBytes, data, apart, numPanels, sums, before, y, yBytes);
}

/** `count` inputs of each row, to codesAt, as products with such weights take them. */
function roundRows(x: usize, numRows: i32, xBytes: usize, count: i32, dtype: i32, groupBytes: usize): void {
  let to = here(codesAt);
  for (let row = 0; row < numRows; row++, x += xBytes) {
    for (let group = 0; group < count / ROW_ALIGN; group++, to += groupBytes)
      roundGroup(x + <usize>(group * ROW_ALIGN) * 4, to, dtype);
  }
}

/**
 * A group's scale, the sum of its codes (beside int8 weights of every second one), and its codes. Scale = largest magnitude / 127, of int16 / 32767; code = value / scale to nearest, ties to even. NaN and infinity are in
 * the scale, and so in every output of the row.
 */
function roundGroup(from: usize, to: usize, dtype: i32): void {
  const mask = i32x4.splat(ABS_MASK);
  let tops = i32x4.splat(0);
  for (let i: usize = 0; i < 128; i += 16) tops = i32x4.max_s(tops, v128.and(v128.load(from + i), mask));
  const top = max(
    max(i32x4.extract_lane(tops, 0), i32x4.extract_lane(tops, 1)),
    max(i32x4.extract_lane(tops, 2), i32x4.extract_lane(tops, 3)),
  );
  const isWide = load<i32>(activationsAt) == INT16;
  const most: f32 = isWide ? 32767 : 127;
  const scale = reinterpret<f32>(top) / most;
  store<f32>(to, scale);
  const divisor = f32x4.splat(scale == 0 ? Infinity : scale);
  const bound = i16x8.splat(<i16>most);
  const narrow = isNarrow(dtype);
  const counted = dtype == INT8 ? i32x4.splat(1) : i16x8.splat(1);
  let sums = i32x4.splat(0);
  let at = to + X_HEAD;
  for (const end = from + 128; from < end; from += 64) {
    const a = eightCodes(from, divisor, bound);
    const b = eightCodes(from + 32, divisor, bound);
    sums = i32x4.add(sums, i32x4.add(i32x4.dot_i16x8_s(a, counted), i32x4.dot_i16x8_s(b, counted)));
    if (narrow) {
      const all = i8x16.narrow_i16x8_s(a, b);
      v128.store(at, v128.shuffle<i8>(all, all, 0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15));
      at += 16;
      continue;
    }
    if (dtype == INT8) {
      const c = isWide ? a : lessEven(a);
      const d = isWide ? b : lessEven(b);
      v128.store(at, v128.shuffle<i16>(c, c, 0, 2, 1, 3, 4, 6, 5, 7));
      v128.store(at, v128.shuffle<i16>(d, d, 0, 2, 1, 3, 4, 6, 5, 7), 16);
    } else {
      v128.store(at, v128.shuffle<i16>(a, a, 0, 4, 1, 5, 2, 6, 3, 7));
      v128.store(at, v128.shuffle<i16>(b, b, 0, 4, 1, 5, 2, 6, 3, 7), 16);
    }
    at += 32;
  }
  store<i32>(
    to,
    i32x4.extract_lane(sums, 0) +
      i32x4.extract_lane(sums, 1) +
      (i32x4.extract_lane(sums, 2) + i32x4.extract_lane(sums, 3)),
    4,
  );
}

/** Every second code less 256 times the one before it: see int8_tiles.as.ts. */
function lessEven(codes: v128): v128 {
  return i16x8.sub(codes, i32x4.shl(codes, 24));
}

/** Eight quotients, rounded and bounded, as i16. */
function eightCodes(from: usize, divisor: v128, bound: v128): v128 {
  const low = f32x4.nearest(f32x4.div(v128.load(from), divisor));
  const high = f32x4.nearest(f32x4.div(v128.load(from, 16), divisor));
  const codes = i16x8.narrow_i32x4_s(i32x4.trunc_sat_f32x4_s(low), i32x4.trunc_sat_f32x4_s(high));
  return i16x8.max_s(i16x8.min_s(codes, bound), i16x8.neg(bound));
}
