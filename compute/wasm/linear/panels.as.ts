/** Rows of weights into the panels of a resident matrix, and out of them. Callers stage pieces of rows at {@link stagingAt}, or find them there. */
import { INT8, Matrix, PANEL, PANEL_ROW, ROW_ALIGN, here, panelBytes, wordsOf } from '../memory/memory.as';
import { chunksFor, parallel } from '../threads/parallel.as';
import { bytesOfValues, decode, encode, stored } from './convert.as';

/** Columns of up to {@link PANEL} rows that are staged at once; as large as stays in a cache with what it becomes. */
export const stagingColumns: i32 = 1024;
export const stagingAt: usize = memory.data(4 * PANEL * stagingColumns, 64);

/** Rows in words, where they differ from what is staged. */
const wordsAt: usize = memory.data(4 * PANEL * stagingColumns, 64);
const floatsAt: usize = memory.data(4 * stagingColumns, 64);

/** What all chunks of some rows have in common. */
@unmanaged
class Packing {
  dtype: i32;
  rows: usize;
  numRows: i32;
  columns: i32;
  weight: usize;
  row: i32;
  /** Panels of a chunk. */
  panels: i32;
  /** The first row that can't be held, so far. */
  wrong: i32;
}

const packingAt: usize = memory.data(offsetof<Packing>(), 16);

/**
 * Rows as a checkpoint stores them (f32, bf16, f16), `columns` values each, one behind the other anywhere in the memory → rows `row` … of a matrix of as many columns.
 * Returns −1, or the first row that can't be held; then rows of other panels may be set.
 */
export function packRows(dtype: i32, rows: usize, numRows: i32, columns: i32, weight: usize, row: i32): i32 {
  const p = changetype<Packing>(here(packingAt));
  p.dtype = dtype;
  p.rows = rows;
  p.numRows = numRows;
  p.columns = columns;
  p.weight = weight;
  p.row = row;
  p.wrong = numRows;
  const count = (row + numRows - 1) / PANEL - row / PANEL + 1;
  p.panels = (count - 1) / chunksFor((<i64>numRows * <i64>columns) >> 1, count) + 1;
  parallel(packChunk, (count + p.panels - 1) / p.panels, changetype<usize>(p));
  return p.wrong == numRows ? -1 : p.wrong;
}

/** Rows of some neighbouring panels. */
function packChunk(args: usize, index: i32): void {
  const p = changetype<Packing>(args);
  const panel = p.row / PANEL + index * p.panels;
  const end = min(p.row + p.numRows, (panel + p.panels) * PANEL);
  for (let row = max(p.row, panel * PANEL); row < end;) {
    const numRows = min(end - row, PANEL - (row % PANEL));
    const wrong = packPanel(p, row, numRows);
    if (wrong >= 0) return tellWrong(args, row - p.row + wrong);
    row += numRows;
  }
}

function tellWrong(args: usize, row: i32): void {
  const at = args + offsetof<Packing>('wrong');
  for (let first = atomic.load<i32>(at); row < first; first = atomic.load<i32>(at))
    if (atomic.cmpxchg<i32>(at, first, row) == first) return;
}

/** Rows of one panel, in pieces of columns; what is no whole group at the end is filled up with zeros. */
function packPanel(p: Packing, row: i32, numRows: i32): i32 {
  const rowBytes = bytesOfValues(p.dtype, p.columns);
  const from = p.rows + <usize>(row - p.row) * rowBytes;
  for (let column = 0; column < p.columns;) {
    const left = p.columns - column;
    const count = min(left & -ROW_ALIGN, stagingColumns);
    const piece = from + bytesOfValues(p.dtype, column);
    const wrong =
      count > 0
        ? pack(p.dtype, piece, rowBytes, numRows, count, p.weight, row, column)
        : packLast(p, piece, rowBytes, numRows, left, row, column);
    if (wrong >= 0) return wrong;
    column += max(count, ROW_ALIGN);
  }
  return -1;
}

function packLast(p: Packing, from: usize, rowBytes: usize, numRows: i32, count: i32, row: i32, column: i32): i32 {
  const groupBytes = bytesOfValues(p.dtype, ROW_ALIGN);
  memory.fill(here(stagingAt), 0, <usize>numRows * groupBytes);
  for (let i: usize = 0; i < <usize>numRows; i++)
    memory.copy(here(stagingAt) + i * groupBytes, from + i * rowBytes, bytesOfValues(p.dtype, count));
  return pack(p.dtype, here(stagingAt), groupBytes, numRows, ROW_ALIGN, p.weight, row, column);
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
  if (sourceDtype == w.dtype && sourceDtype != INT8) {
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
