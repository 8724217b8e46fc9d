/** What one call of {@link attend} computes, and the rows that it works on at once. */
import { here } from '../memory/memory.as';
import { bytesOf } from './step.as';

/** Query rows whose scores are held at once: keys and values are read once for all of them. */
export const ROWS: i32 = 16;
/** Keys whose addresses are looked up at once: so long streams that reading ahead pays (scores.as.ts). Measured: a quarter less time than 64 where the cache is large. */
export const KEYS: i32 = 256;

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
  /** From a block's address to its first key, and from key to key. */
  keyOffset: usize;
  keyBytes: usize;
  valueOffset: usize;
  valueBytes: usize;
  valueWidth: i32;
  /** What is written of a value's width. */
  valueDim: i32;
  out: usize;
  outTokenBytes: usize;
  outHeadBytes: usize;
  /** {@link laneBytes} at a multiple of 16. */
  scratch: usize;
}

/** Scratch memory of a lane whose last token has position numKeys − 1. */
export function laneBytes(numKeys: i32, window: i32, valueWidth: i32): u64 {
  const mostKeys = window > 0 ? min(numKeys, window + ROWS + 3) : numKeys;
  return bytesOf(ROWS, roundUp4(mostKeys) + 4 + valueWidth);
}

export function roundUp4(n: i32): i32 {
  return (n + 3) & ~3;
}

/** Rows of the block at hand: where each query is, and the keys start … end − 1 that it sees. Both bounds ascend. */
const queryAt: usize = memory.data(4 * ROWS, 16);
const startAt: usize = memory.data(4 * ROWS, 16);
const endAt: usize = memory.data(4 * ROWS, 16);

export function queryOf(row: i32): usize {
  return <usize>load<u32>(here(queryAt) + ((<usize>row) << 2));
}

export function startOf(row: i32): i32 {
  return load<i32>(here(startAt) + ((<usize>row) << 2));
}

export function endOf(row: i32): i32 {
  return load<i32>(here(endAt) + ((<usize>row) << 2));
}

export function describeRows(lane: Lane, first: i32, count: i32): void {
  let token = first / lane.numHeads;
  let head = first % lane.numHeads;
  for (let row: usize = 0; row < <usize>count; row++) {
    const end = lane.position + token + 1;
    store<u32>(
      here(queryAt) + (row << 2),
      <u32>(lane.queries + <usize>token * lane.queryTokenBytes + <usize>head * lane.queryHeadBytes),
    );
    store<i32>(here(startAt) + (row << 2), lane.window > 0 ? max(0, end - lane.window) : 0);
    store<i32>(here(endAt) + (row << 2), end);
    if (++head == lane.numHeads) {
      head = 0;
      token++;
    }
  }
}

const addressesAt: usize = memory.data(4 * KEYS, 16);

/** Table of the addresses of `count` ≤ KEYS keys or values from position `first` on, filled up to a multiple of 4 with the last. */
export function addressesOf(lane: Lane, first: i32, count: i32, offset: usize, bytes: usize): usize {
  const table = here(addressesAt);
  const end = table + ((<usize>count) << 2);
  let block = lane.blocks + ((<usize>(first / lane.blockSize)) << 2);
  let inBlock = first % lane.blockSize;
  let address: usize = 0;
  let to = table;
  while (to < end) {
    address = <usize>load<u32>(block) + offset + <usize>inBlock * bytes;
    const blockEnd = min(end, to + ((<usize>(lane.blockSize - inBlock)) << 2));
    for (; to < blockEnd; to += 4, address += bytes) store<u32>(to, <u32>address);
    block += 4;
    inBlock = 0;
  }
  for (const fullEnd = table + ((<usize>roundUp4(count)) << 2); to < fullEnd; to += 4)
    store<u32>(to, <u32>(address - bytes));
  return table;
}
