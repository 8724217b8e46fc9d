/** What one call of {@link attend} computes, the rows that it works on at once, and its scratch memory. */
import { bytesOf } from './step.as';

/** Query rows whose scores are held at once: keys and values are read once for all of them. */
export const ROWS: i32 = 16;
/** Values whose addresses are looked up at once, for all rows: 16 channels of them stay in the L1 cache. */
export const VALUES: i32 = 64;

/** How keys and values lie in a block: as rows, or in panels (panels.as.ts). */
export const IN_ROWS: i32 = 0;
export const IN_PANELS: i32 = 1;

/**
 * Consecutive tokens of a sequence, and the heads that share keys and values: a row is one head of one token. Widths are multiples of 4 floats, with zeros in the
 * padding. Keys and values lie in blocks of `blockSize` tokens; a block's address is that of all layers and lanes.
 */
@unmanaged
export class Lane {
  /** Of the first row; `width` floats each. */
  queries: usize;
  queryTokenBytes: usize;
  queryHeadBytes: usize;
  numTokens: i32;
  numHeads: i32;
  /** Of the first token; it sees itself and what comes before. */
  position: i32;
  /** Keys that a token sees at most, itself included; 0 = all. */
  window: i32;
  /** float32 per head: a score that takes part in the softmax's denominator only; 0 = none. */
  sinks: usize;
  width: i32;
  softmaxScale: f32;
  /** Addresses of the blocks, in order of position. */
  blocks: usize;
  blockSize: i32;
  /** {@link IN_ROWS} or {@link IN_PANELS}. */
  form: i32;
  /** From a block's address to its first key, and from key to key where they are rows. */
  keyOffset: usize;
  keyBytes: usize;
  valueOffset: usize;
  valueBytes: usize;
  valueWidth: i32;
  /** What is written of a value's width. */
  valueDim: i32;
  /** {@link StoredKeys} where keys are rows that aren't of floats, and values the same rows. */
  storedKeys: usize;
  out: usize;
  outTokenBytes: usize;
  outHeadBytes: usize;
  /** {@link laneBytes} at a multiple of 16. */
  scratch: usize;
  /** Of keys and values: F32, BF16 or INT8 (memory.as.ts); INT8 in panels alone (code_panels.as.ts). */
  dtype: i32;
}

/** Scratch memory: tables of ROWS or VALUES words, a tile, then the rows' queries, their sums, keys and values that were stored, and the rows' scores. */
const ENDS: usize = 4 * ROWS;
const DENOMINATORS: usize = 8 * ROWS;
const TABLE: usize = 12 * ROWS;
const TILE: usize = TABLE + 4 * VALUES;
const QUERIES: usize = TILE + 16 * ROWS;

/** Scores that a row has room for beyond its keys: the first begins at a multiple of 16 or where its panel does, the last panel passes the end. */
const SLACK: i32 = 48;

/** Scratch memory of a lane whose last token has position numKeys − 1. */
export function laneBytes(numKeys: i32, window: i32, width: i32, valueWidth: i32): u64 {
  const mostKeys = window > 0 ? min(numKeys, window + ROWS) : numKeys;
  return <u64>QUERIES + bytesOf(ROWS, width + valueWidth + mostKeys + SLACK) + bytesOf(1, loadedFloats(width));
}

/** Of four keys, or of 16 channels of VALUES values. */
function loadedFloats(width: i32): i32 {
  return max(4 * width, 16 * VALUES);
}

export function roundUp4(n: i32): i32 {
  return (n + 3) & ~3;
}

/** Floats from a row's scores to the next row's, for keys firstKey … endKey − 1. */
export function scoreStride(firstKey: i32, endKey: i32): i32 {
  return roundUp4(endKey - firstKey) + 16;
}

/** Where rows' queries are, scaled: see queries.as.ts. */
export function queriesOf(lane: Lane): usize {
  return lane.scratch + QUERIES;
}

/** [ROWS][valueWidth] */
export function sumsOf(lane: Lane): usize {
  return queriesOf(lane) + ((<usize>(ROWS * lane.width)) << 2);
}

/** Where stored keys, or values, are floats (stored_keys.as.ts). */
export function loadedOf(lane: Lane): usize {
  return sumsOf(lane) + ((<usize>(ROWS * lane.valueWidth)) << 2);
}

/** [ROWS][stride] */
export function scoresOf(lane: Lane): usize {
  return loadedOf(lane) + ((<usize>loadedFloats(lane.width)) << 2);
}

/** Room for 4 · ROWS floats. */
export function tileOf(lane: Lane): usize {
  return lane.scratch + TILE;
}

/** VALUES addresses. */
export function tableOf(lane: Lane): usize {
  return lane.scratch + TABLE;
}

/** A float per row. */
export function denominatorsOf(lane: Lane): usize {
  return lane.scratch + DENOMINATORS;
}

/** A row sees the keys start … end − 1. Both bounds ascend. */
export function startOf(lane: Lane, row: i32): i32 {
  return load<i32>(lane.scratch + ((<usize>row) << 2));
}

export function endOf(lane: Lane, row: i32): i32 {
  return load<i32>(lane.scratch + ((<usize>row) << 2), ENDS);
}

export function boundRows(lane: Lane, first: i32, count: i32): void {
  let token = first / lane.numHeads;
  let head = first % lane.numHeads;
  for (let row = 0; row < count; row++) {
    const end = lane.position + token + 1;
    const at = lane.scratch + ((<usize>row) << 2);
    store<i32>(at, lane.window > 0 ? max(0, end - lane.window) : 0);
    store<i32>(at, end, ENDS);
    if (++head == lane.numHeads) {
      head = 0;
      token++;
    }
  }
}
