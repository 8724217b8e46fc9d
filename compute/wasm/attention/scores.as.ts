/** Scores of query rows against keys: one accumulator each over ascending channels, whichever rows and keys are computed together. */
import { dots16, dots4 } from './dots.as';
import { scoreCodedKeys } from './code_rows.as';
import { scoreCodes } from './code_scores.as';
import { IN_ROWS, Lane, ROWS, loadedOf, queriesOf, tileOf } from './lane.as';
import { BF16, F32, INT8 } from '../memory/memory.as';
import { PANEL, panelWidth } from './panels.as';
import { loadKeys } from './stored_keys.as';

/**
 * scores[row][key] for keys firstKey … endKey − 1; `scores` is where row 0's score of key 0 would be, rows begin every `rowBytes`. Up to 16 scores before firstKey and
 * behind endKey may be anything.
 */
export function scoreRows(lane: Lane, numRows: i32, firstKey: i32, endKey: i32, scores: usize, rowBytes: usize): void {
  let block = firstKey / lane.blockSize;
  // Ascending: what a panel's unused tokens and a tile's missing keys leave behind is written over by the next.
  for (let blockStart = block * lane.blockSize; blockStart < endKey; blockStart += lane.blockSize, block++) {
    const keys = <usize>load<u32>(lane.blocks + ((<usize>block) << 2)) + lane.keyOffset;
    const first = max(0, firstKey - blockStart);
    const end = min(lane.blockSize, endKey - blockStart);
    const to = scores + ((<usize>blockStart) << 2);
    const panel = first & ~(PANEL - 1);
    if (lane.form == IN_ROWS) scoreKeys(lane, numRows, keys, first, end, to, rowBytes);
    else if (lane.dtype == F32) scorePanels<f32>(lane, numRows, keys, panel, end, to, rowBytes);
    else if (lane.dtype == BF16) scorePanels<u16>(lane, numRows, keys, panel, end, to, rowBytes);
    else scoreCodes(lane, numRows, keys, panel, end, to, rowBytes);
  }
}

/** Tokens first … end − 1 of a block, from the beginning of a panel on. T: their elements, f32, or u16 for bf16. */
function scorePanels<T>(
  lane: Lane,
  numRows: i32,
  keys: usize,
  first: i32,
  end: i32,
  scores: usize,
  rowBytes: usize,
): void {
  const queries = queriesOf(lane);
  const width = lane.width;
  for (let token = first; token < end; token += PANEL) {
    const numTokens = panelWidth(lane.blockSize, token);
    const panel = keys + <usize>(token * width) * sizeof<T>();
    const to = scores + ((<usize>token) << 2);
    if (numTokens == PANEL)
      dots16<T>(queries, width << 2, numRows, panel, <usize>PANEL * sizeof<T>(), width, to, rowBytes);
    else
      for (let at = 0; at < numTokens; at += 4)
        dots4<T>(
          queries,
          width << 2,
          numRows,
          panel + <usize>at * sizeof<T>(),
          <usize>numTokens * sizeof<T>(),
          width,
          to + 4 * at,
          rowBytes,
        );
  }
}

/** Keys as rows are what the queries, side by side, are multiplied with, four at a time. */
function scoreKeys(lane: Lane, numRows: i32, keys: usize, first: i32, end: i32, scores: usize, rowBytes: usize): void {
  const queries = queriesOf(lane);
  const tile = tileOf(lane);
  for (let token = first; token < end; token += 4) {
    const count = min(4, end - token);
    let key = keys + <usize>token * lane.keyBytes;
    let keyBytes = lane.keyBytes;
    if (lane.dtype == BF16) {
      loadKeys(lane, key, count, loadedOf(lane));
      key = loadedOf(lane);
      keyBytes = (<usize>lane.width) << 2;
    }
    if (lane.dtype == INT8) scoreCodedKeys(lane, numRows, key, count);
    else if (numRows <= 4) dots4<f32>(key, keyBytes, count, queries, 4 * ROWS, lane.width, tile, 4 * ROWS);
    else dots16<f32>(key, keyBytes, count, queries, 4 * ROWS, lane.width, tile, 4 * ROWS);
    transpose(tile, numRows, scores + ((<usize>token) << 2), rowBytes);
  }
}

/** [4][ROWS] → four floats of each row. */
function transpose(tile: usize, numRows: i32, to: usize, rowBytes: usize): void {
  for (let row = 0; row < numRows; row += 4, tile += 16) {
    const a = v128.load(tile);
    const b = v128.load(tile, 4 * ROWS);
    const c = v128.load(tile, 8 * ROWS);
    const d = v128.load(tile, 12 * ROWS);
    const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
    const cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
    const abUp = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
    const cdUp = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<i64>(ab, cd, 0, 2));
    if (row + 1 < numRows) v128.store(to + rowBytes, v128.shuffle<i64>(ab, cd, 1, 3));
    if (row + 2 < numRows) v128.store(to + 2 * rowBytes, v128.shuffle<i64>(abUp, cdUp, 0, 2));
    if (row + 3 < numRows) v128.store(to + 3 * rowBytes, v128.shuffle<i64>(abUp, cdUp, 1, 3));
    to += 4 * rowBytes;
  }
}
