/** Rows of weights into the panels of a resident matrix, and out of them. Callers stage pieces of rows at {@link stagingAt}, or find them there. */
import { Matrix, PANEL, PANEL_ROW, ROW_ALIGN, UINT4, here, panelBytes, wordsOf } from '../memory/memory.as';
import { bytesOfValues, decode, encode } from './convert.as';

/** Columns of up to {@link PANEL} rows that are staged at once; as large as stays in a cache with what it becomes. */
export const stagingColumns: i32 = 1024;
export const stagingAt: usize = memory.data(4 * PANEL * stagingColumns, 64);

/** Rows in words, where they differ from what is staged. */
const wordsAt: usize = memory.data(4 * PANEL * stagingColumns, 64);
const floatsAt: usize = memory.data(4 * stagingColumns, 64);

/**
 * Rows as they are stored, `columns` values each, one behind the other anywhere in the memory → rows `row` … of a matrix of as many columns.
 * Returns −1, or the first of them that can't be held; then those of panels before it are set.
 */
export function packRows(dtype: i32, rows: usize, numRows: i32, columns: i32, weight: usize, row: i32): i32 {
  const rowBytes = bytesOfValues(dtype, columns);
  for (let done = 0; done < numRows;) {
    const count = min(numRows - done, PANEL - ((row + done) % PANEL));
    const wrong = packPanel(dtype, rows + <usize>done * rowBytes, count, columns, weight, row + done);
    if (wrong >= 0) return done + wrong;
    done += count;
  }
  return -1;
}

/** Rows of one panel, in pieces of columns; what is no whole group at the end is filled up with zeros. */
function packPanel(dtype: i32, rows: usize, numRows: i32, columns: i32, weight: usize, row: i32): i32 {
  const rowBytes = bytesOfValues(dtype, columns);
  const whole = columns & -ROW_ALIGN;
  for (let column = 0; column < whole; column += stagingColumns) {
    const from = rows + bytesOfValues(dtype, column);
    const wrong = pack(dtype, from, rowBytes, numRows, min(whole - column, stagingColumns), weight, row, column);
    if (wrong >= 0) return wrong;
  }
  if (whole == columns) return -1;
  const groupBytes = bytesOfValues(dtype, ROW_ALIGN);
  const from = rows + bytesOfValues(dtype, whole);
  memory.fill(stagingAt, 0, <usize>numRows * groupBytes);
  for (let i: usize = 0; i < <usize>numRows; i++)
    memory.copy(stagingAt + i * groupBytes, from + i * rowBytes, bytesOfValues(dtype, columns - whole));
  if (dtype == UINT4) for (let i = 0; i < numRows; i++) padZeros(stagingAt + <usize>i * groupBytes, columns - whole);
  return pack(dtype, stagingAt, groupBytes, numRows, ROW_ALIGN, weight, row, whole);
}

/** Codes of zero behind the first `count` of a group of uint4. */
function padZeros(group: usize, count: i32): void {
  const zero = (<i32>load<f32>(group, 4)) & 15;
  for (let i = count; i < ROW_ALIGN; i++) {
    const at = group + 8 + ((<usize>i) >> 1);
    store<u8>(at, load<u8>(at) | (zero << ((i & 1) << 2)));
  }
}

/**
 * Rows that were read into the place of their panels, from row `row` on, the first of a panel, as a matrix of whole groups and of their type stores them → the panels.
 * `buffer`: room for a panel. Rows that the last panel lacks become zeros.
 */
export function packInPlace(numRows: i32, weight: usize, row: i32, buffer: usize): void {
  const w = changetype<Matrix>(weight);
  const rowBytes: usize = (<usize>wordsOf(w.dtype, w.stride)) << 2;
  for (; numRows > 0; numRows -= PANEL, row += PANEL) {
    const count = min(numRows, PANEL);
    const panel = placeOf(w, row, 0);
    memory.copy(buffer, panel, <usize>count * rowBytes);
    if (count < PANEL) memory.fill(panel, 0, panelBytes(w));
    for (let column = 0; column < w.stride; column += stagingColumns) {
      const from = buffer + bytesOfValues(w.dtype, column);
      pack(w.dtype, from, rowBytes, count, min(stagingColumns, w.stride - column), weight, row, column);
    }
  }
}

/**
 * Rows of `count` values (whole groups) as they are stored, which begin every `rowBytes` → rows `row` … of a matrix, which lie in one panel, from column `column` on
 * (whole groups). Returns −1, or the first of the rows that can't be held, and then nothing changed.
 */
export function pack(
  sourceDtype: i32,
  rows: usize,
  rowBytes: usize,
  numRows: i32,
  count: i32,
  weight: usize,
  row: i32,
  column: i32,
): i32 {
  const w = changetype<Matrix>(weight);
  const numWords = wordsOf(w.dtype, count);
  const wordBytes: usize = (<usize>numWords) << 2;
  if (sourceDtype == w.dtype) {
    transpose(rows, rowBytes, 4, placeOf(w, row, column), 4, PANEL_ROW, numRows, numWords);
    return -1;
  }
  const words = here(wordsAt);
  for (let i = 0; i < numRows; i++) {
    const from = rows + <usize>i * rowBytes;
    if (!encode(sourceDtype, from, count, w.dtype, words + <usize>i * wordBytes, here(floatsAt))) return i;
  }
  transpose(words, wordBytes, 4, placeOf(w, row, column), 4, PANEL_ROW, numRows, numWords);
  return -1;
}

/** Rows of one panel, from column `column` on → staged rows of `count` values each: as they are stored, or as floats. */
export function unpack(weight: usize, row: i32, numRows: i32, column: i32, count: i32, asFloats: bool): void {
  const w = changetype<Matrix>(weight);
  const numWords = wordsOf(w.dtype, count);
  const from = placeOf(w, row, column);
  const wordBytes: usize = (<usize>numWords) << 2;
  const rowBytes: usize = asFloats ? (<usize>count) << 2 : bytesOfValues(w.dtype, count);
  transpose(from, 4, PANEL_ROW, here(wordsAt), wordBytes, 4, numRows, numWords);
  for (let i = 0; i < numRows; i++) {
    const words = here(wordsAt) + <usize>i * wordBytes;
    const to = stagingAt + <usize>i * rowBytes;
    if (asFloats) decode(w.dtype, words, count, to);
    else memory.copy(to, words, rowBytes);
  }
}

/** A row as floats, W.stride of them. */
export function rowOf(w: Matrix, row: i32, to: usize): void {
  for (let column = 0; column < w.stride; column += stagingColumns) {
    const count = min(stagingColumns, w.stride - column);
    copy(placeOf(w, row, column), PANEL_ROW, here(wordsAt), 4, 0, wordsOf(w.dtype, count));
    decode(w.dtype, here(wordsAt), count, to + ((<usize>column) << 2));
  }
}

/** Where a row's words begin, from a group's first column on. */
function placeOf(w: Matrix, row: i32, column: i32): usize {
  const panel = w.data + <usize>(row / PANEL) * panelBytes(w);
  return panel + <usize>wordsOf(w.dtype, column) * PANEL_ROW + ((<usize>(row % PANEL)) << 2);
}

/**
 * Words of rows: rows begin every `rowApart` bytes, words every `wordApart`, of which one is 4 on either side. Four rows at a time go in blocks of 4 × 4.
 */
function transpose(
  from: usize,
  fromRow: usize,
  fromWord: usize,
  to: usize,
  toRow: usize,
  toWord: usize,
  numRows: i32,
  numWords: i32,
): void {
  const inBlocks = numWords & ~3;
  for (; numRows >= 4; numRows -= 4, from += 4 * fromRow, to += 4 * toRow) {
    blocks(from, max(fromRow, fromWord), 4 * fromWord, to, max(toRow, toWord), 4 * toWord, inBlocks);
    for (let i: usize = 0; i < 4; i++) copy(from + i * fromRow, fromWord, to + i * toRow, toWord, inBlocks, numWords);
  }
  for (; numRows > 0; numRows--, from += fromRow, to += toRow) copy(from, fromWord, to, toWord, 0, numWords);
}

/** Blocks of 4 × 4 words, whose vectors are `apart` bytes from each other; a block begins every `step` bytes. */
function blocks(
  from: usize,
  fromApart: usize,
  fromStep: usize,
  to: usize,
  toApart: usize,
  toStep: usize,
  numWords: i32,
): void {
  for (; numWords > 0; numWords -= 4, from += fromStep, to += toStep) {
    const a = v128.load(from);
    const b = v128.load(from + fromApart);
    const c = v128.load(from + 2 * fromApart);
    const d = v128.load(from + 3 * fromApart);
    const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
    const cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
    const upperAb = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
    const upperCd = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<i64>(ab, cd, 0, 2));
    v128.store(to + toApart, v128.shuffle<i64>(ab, cd, 1, 3));
    v128.store(to + 2 * toApart, v128.shuffle<i64>(upperAb, upperCd, 0, 2));
    v128.store(to + 3 * toApart, v128.shuffle<i64>(upperAb, upperCd, 1, 3));
  }
}

/** Words `first` … `end` − 1, which begin every so many bytes. */
function copy(from: usize, fromWord: usize, to: usize, toWord: usize, first: i32, end: i32): void {
  from += <usize>first * fromWord;
  to += <usize>first * toWord;
  for (; first < end; first++, from += fromWord, to += toWord) store<u32>(to, load<u32>(from));
}
