/** Rows of weights into the panels of a resident matrix, and out of them. Callers stage rows at {@link stagingAt}, or find them there. */
import { INT8, Matrix, PANEL, PANEL_ROW, here, panelBytes, wordsOf } from '../memory/memory.as';
import { bytesOfValues, decode, encode, stored } from './convert.as';

/** Columns of up to {@link PANEL} rows that are staged at once; as large as stays in a cache with what it becomes. */
export const stagingColumns: i32 = 1024;
export const stagingAt: usize = memory.data(4 * PANEL * stagingColumns, 64);

/** Rows in words, where they differ from what is staged. */
const wordsAt: usize = memory.data(4 * PANEL * stagingColumns, 64);
const floatsAt: usize = memory.data(4 * stagingColumns, 64);

/**
 * Staged rows of `count` values (whole groups) as they are stored → rows `row` … of a matrix, which lie in one panel, from column `column` on (whole groups).
 * Returns −1, or the first staged row that can't be held, and then nothing changed.
 */
export function pack(sourceDtype: i32, numRows: i32, count: i32, weight: usize, row: i32, column: i32): i32 {
  const w = changetype<Matrix>(weight);
  const numWords = wordsOf(w.dtype, count);
  const rowBytes: usize = (<usize>numWords) << 2;
  let words = stagingAt;
  if (sourceDtype != w.dtype || sourceDtype == INT8) {
    words = here(wordsAt);
    const storedRowBytes = bytesOfValues(sourceDtype, count);
    for (let i = 0; i < numRows; i++) {
      const from = stagingAt + <usize>i * storedRowBytes;
      if (!encode(sourceDtype, from, count, w.dtype, words + <usize>i * rowBytes, here(floatsAt))) return i;
    }
  }
  transpose(words, rowBytes, 4, placeOf(w, row, column), 4, PANEL_ROW, numRows, numWords);
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
    else stored(w.dtype, words, count, to);
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
