/**
 * Keys as rows in a cache that isn't of floats, and values that are the same rows: how attention takes them, as floats, a few at a time, which stay in the L1 cache. So
 * what comes of them has the bits that it would have if the cache held those floats.
 */
import { BF16, F32, INT8 } from '../memory/memory.as';
import { Lane, VALUES, roundUp4 } from './lane.as';
import { PANEL } from './panels.as';
import { floats } from './step.as';
import { loadRow } from './stored_rows.as';

/** A row is [word | values of a first part | values of the rest]; in int8 the rest may have a word of its own. Values of attention are the first part. */
@unmanaged
export class StoredKeys {
  /** bf16 or int8. */
  dtype: i32;
  firstDim: i32;
  /** 0: there is no rest. */
  restDim: i32;
  /** From the beginning of the row. */
  restWordAt: usize;
  restAt: usize;
}

/** Bytes of the word of scale and minimum that is before values: of int8 alone. */
export function wordBytes(dtype: i32): usize {
  return dtype == INT8 ? 4 : 0;
}

/** Bytes of values side by side. */
export function valueBytes(dtype: i32, count: i32): usize {
  return dtype == F32 ? floats(count) : dtype == BF16 ? (<usize>count) << 1 : <usize>count;
}

/** Keys first … first + count − 1 of a block, whose keys begin at `keys`, as rows of `lane.width` floats. */
export function loadKeys(lane: Lane, keys: usize, first: i32, count: i32, to: usize): void {
  const stored = changetype<StoredKeys>(lane.storedKeys);
  let row = keys + <usize>first * lane.keyBytes;
  for (; count > 0; count--, row += lane.keyBytes, to += floats(lane.width)) {
    loadPadded(stored.dtype, row + wordBytes(stored.dtype), stored.firstDim, row, to);
    const rest = to + floats(roundUp4(stored.firstDim));
    if (stored.restDim > 0)
      loadPadded(stored.dtype, row + stored.restAt, stored.restDim, row + stored.restWordAt, rest);
  }
}

/** As floats, and zeros up to a multiple of 4. */
export function loadPadded(dtype: i32, from: usize, dim: i32, wordAt: usize, to: usize): void {
  loadRow(dtype, from, dim, wordAt, to);
  for (; dim & 3; dim++) store<f32>(to + floats(dim), 0);
}

/** Channels channel … channel + 15, as far as there are any, of the values of keys first … end − 1: [VALUES][PANEL] */
export function loadValues(lane: Lane, first: i32, end: i32, channel: i32, to: usize): void {
  const stored = changetype<StoredKeys>(lane.storedKeys);
  const dtype = stored.dtype;
  const dim = min(PANEL, stored.firstDim - channel);
  const at = wordBytes(dtype) + valueBytes(dtype, channel);
  let key = first;
  while (key < end) {
    const inBlock = key % lane.blockSize;
    const blockEnd = min(end, key - inBlock + lane.blockSize);
    let row = <usize>load<u32>(lane.blocks + floats(key / lane.blockSize)) + lane.valueOffset;
    row += <usize>inBlock * lane.valueBytes;
    for (; key < blockEnd; key++, row += lane.valueBytes, to += 4 * PANEL) loadPadded(dtype, row + at, dim, row, to);
  }
}
