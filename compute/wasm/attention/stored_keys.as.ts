/**
 * Keys as rows of a cache that isn't of floats, and values that are the same rows. Those of bf16 become floats, a few at a time, which stay in the L1 cache; so what comes of them has the
 * bits that it would have if the cache held those floats. Those of int8: code_rows.as.ts.
 */
import { BF16, F32, INT8 } from '../memory/memory.as';
import { Lane, roundUp4 } from './lane.as';
import { PANEL } from './panels.as';
import { floats } from './step.as';
import { narrowWord } from './stored_rows.as';

/** A row is [word | values of a first part | word or byte | values of the rest], words and bytes (stored_rows.as.ts) of int8 alone. Values of attention are the first part. */
@unmanaged
export class StoredKeys {
  firstDim: i32;
  /** 0: there is no rest. */
  restDim: i32;
  /** From the beginning of the row. */
  restWordAt: usize;
  restAt: usize;
  /** Whether the rest has a byte instead of a word. */
  isNarrow: i32;
}

/** Of the rest of a row of int8. */
export function restWordOf(keys: StoredKeys, row: usize): u32 {
  const at = row + keys.restWordAt;
  return keys.isNarrow ? narrowWord(load<u8>(at)) : load<u32>(at);
}

/** Bytes of the word of scale and minimum that is before values: of int8 alone. */
export function wordBytes(dtype: i32): usize {
  return dtype == INT8 ? 4 : 0;
}

/** Bytes of values side by side. */
export function valueBytes(dtype: i32, count: i32): usize {
  return dtype == F32 ? floats(count) : dtype == BF16 ? (<usize>count) << 1 : <usize>count;
}

/** Up to four keys of bf16, from address `row` on, as rows of `lane.width` floats, each part padded with zeros to a multiple of 4. */
export function loadKeys(lane: Lane, row: usize, count: i32, to: usize): void {
  const keys = changetype<StoredKeys>(lane.storedKeys);
  for (; count > 0; count--, row += lane.keyBytes, to += floats(lane.width)) {
    loadPart(row, keys.firstDim, to);
    if (keys.restDim > 0) loadPart(row + keys.restAt, keys.restDim, to + floats(roundUp4(keys.firstDim)));
  }
}

/** [VALUES][PANEL]: channels channel … channel + 15, as far as there are any, of the values of keys first … end − 1, which are bf16. */
export function loadValues(lane: Lane, first: i32, end: i32, channel: i32, to: usize): void {
  const dim = min(PANEL, changetype<StoredKeys>(lane.storedKeys).firstDim - channel);
  const at = lane.valueOffset + ((<usize>channel) << 1);
  let key = first;
  while (key < end) {
    const inBlock = key % lane.blockSize;
    const blockEnd = min(end, key - inBlock + lane.blockSize);
    let row = <usize>load<u32>(lane.blocks + floats(key / lane.blockSize)) + at + <usize>inBlock * lane.valueBytes;
    for (; key < blockEnd; key++, row += lane.valueBytes, to += 4 * PANEL) {
      if (dim == PANEL) loadSixteen(row, to);
      else loadPart(row, dim, to);
    }
  }
}

function loadPart(from: usize, dim: i32, to: usize): void {
  const end = from + ((<usize>dim) << 1);
  for (; from + 32 <= end; from += 32, to += 64) loadSixteen(from, to);
  for (; from < end; from += 2, to += 4) store<u32>(to, (<u32>load<u16>(from)) << 16);
  for (; dim & 3; dim++, to += 4) store<u32>(to, 0);
}

function loadSixteen(from: usize, to: usize): void {
  v128.store(to, i32x4.shl(v128.load16x4_u(from), 16));
  v128.store(to, i32x4.shl(v128.load16x4_u(from, 8), 16), 16);
  v128.store(to, i32x4.shl(v128.load16x4_u(from, 16), 16), 32);
  v128.store(to, i32x4.shl(v128.load16x4_u(from, 24), 16), 48);
}
